// Package adminapi is what a node's admin port says and hears: its paths, its
// headers and the JSON documents on it. internal/member and
// internal/node serve them;
// internal/nodectl, internal/adminui and internal/demo read them.
//
// Times are RFC 3339, durations are in milliseconds and sizes in bytes, as the
// names of the fields say. New fields may come; readers skip what they do not
// know.
package adminapi
