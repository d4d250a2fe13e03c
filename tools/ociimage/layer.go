package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// The user that the image runs as, if not told otherwise: the number that
// distroless images made customary, so that `runAsNonRoot` can be verified.
const nonRoot = "65532:65532"

// users is what programs see of users: the one above, and root.
var users = []file{
	{path: "/etc/passwd", mode: 0o644, data: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
	{path: "/etc/group", mode: 0o644, data: []byte("root:x:0:\nnonroot:x:65532:\n")},
}

// file is a file of the image, with its absolute path there.
type file struct {
	path string
	mode fs.FileMode
	data []byte
}

// readFile reads what an argument SOURCE:PATH[:MODE] names; the mode is octal,
// and 0755 unless given, since most files of such an image are programs.
func readFile(argument string) (file, error) {
	parts := strings.Split(argument, ":")
	if len(parts) < 2 || len(parts) > 3 || !path.IsAbs(parts[1]) || path.Clean(parts[1]) != parts[1] || parts[1] == "/" {
		return file{}, fmt.Errorf("%q is not SOURCE:PATH or SOURCE:PATH:MODE with a clean absolute PATH", argument)
	}
	mode := uint64(0o755)
	if len(parts) == 3 {
		var err error
		if mode, err = strconv.ParseUint(parts[2], 8, 9); err != nil {
			return file{}, fmt.Errorf("%q: the mode is three octal digits, as in 644", argument)
		}
	}
	data, err := os.ReadFile(parts[0])
	if err != nil {
		return file{}, err
	}
	return file{path: parts[1], mode: fs.FileMode(mode), data: data}, nil
}

// layer is a tar of files, owned by root and without times, with the folders
// that they need before them.
func layer(files []file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	there := map[string]bool{"/": true}
	for _, f := range files {
		if there[f.path] {
			return nil, fmt.Errorf("%s is given twice", f.path)
		}
		if err := folders(w, path.Dir(f.path), there); err != nil {
			return nil, err
		}
		there[f.path] = true
		if err := put(w, f); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// folders writes dir and what is above it, unless it is there.
func folders(w *tar.Writer, dir string, there map[string]bool) error {
	if there[dir] {
		return nil
	}
	if err := folders(w, path.Dir(dir), there); err != nil {
		return err
	}
	there[dir] = true
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir[1:] + "/", Mode: 0o755, ModTime: time.Unix(0, 0)})
}

func put(w *tar.Writer, f file) error {
	err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: strings.TrimPrefix(f.path, "/"), Mode: int64(f.mode), Size: int64(len(f.data)), ModTime: time.Unix(0, 0),
	})
	if err != nil {
		return err
	}
	_, err = w.Write(f.data)
	return err
}
