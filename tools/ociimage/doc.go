// Command ociimage writes a container image from static binaries, with no
// container engine: one layer, one platform, as an OCI image layout in a tar
// file, which `ctr images import`, `docker load`, `podman load` and `kind load
// image-archive` read.
//
//	go run -C tools ./ociimage -o node.tar -name gridmesh/node:v0.1.0 node:/node
//
// The image is what a distroless one is: the files given, a user table, and
// nothing that could be run besides. The same input gives the same bytes. It
// is run by `make images` and by the end-to-end tests.
package main
