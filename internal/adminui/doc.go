// Package adminui is the page that a node shows to people who open its admin
// port in a browser: who is in the mesh, which links are up, what queues and
// what waits for credit. It shows what internal/adminapi says, and nothing of
// its own.
//
// The page and its two assets are embedded. It loads nothing from anywhere
// else, needs no build step, works without its script (which only keeps it
// fresh) and follows the browser's light or dark setting. It has no button
// that changes anything.
package adminui
