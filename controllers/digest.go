package controllers

import (
	"crypto/sha256"
	"encoding/hex"
)

// digest tells one text from another, in an annotation.
func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:10])
}
