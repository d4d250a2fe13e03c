package controllers

import "fmt"

// Reasons of the condition Accepted, besides those of feed.Problem.
const (
	reasonValid              = "Valid"
	reasonNameConflict       = "NameConflict"
	reasonTemplateRefused    = "PodTemplateRefused"
	reasonVolumeRefused      = "TLSVolumeRefused"
	reasonObjectRefused      = "ObjectRefused"
	reasonStatefulSetMissing = "StatefulSetMissing"
	reasonStatefulSetUnfit   = "StatefulSetUnfit"
	reasonServiceUnfit       = "ServiceUnfit"
	reasonNoCertManager      = "CertManagerMissing"
	reasonSecretMissing      = "SecretMissing"
	reasonStorageTooSmall    = "StorageTooSmall"
)

// problem is something that only the user can mend. It goes into the condition
// Accepted; trying again would not help.
type problem struct {
	reason  string
	message string
	// unseen says that nobody will tell us when it is mended: look again later.
	unseen bool
}

func (p *problem) Error() string { return p.message }

func refuse(reason, format string, args ...any) *problem {
	return &problem{reason: reason, message: fmt.Sprintf(format, args...)}
}
