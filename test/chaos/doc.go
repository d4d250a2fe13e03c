// Package chaos runs whole meshes under faults for a long time and looks at
// what is left afterwards: nothing must be. It tests the public packages only.
package chaos
