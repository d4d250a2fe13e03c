// Package names says what the objects of a Grid are called, how they are
// labelled, and what stands in their annotations. Users type these names and
// other programs read them, so none of them can change.
//
// It holds pure functions only. controllers and controllers/feed call it.
package names
