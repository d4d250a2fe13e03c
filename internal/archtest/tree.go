package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strings"
)

// modulePath is that of the root module; the modules in bench/ and tools/
// carry it as a prefix, so a folder's import path is always this plus its name.
const modulePath = "github.com/gridmesh/gridmesh"

// file is one file of the tree. The Go fields are set for Go files outside of
// testdata folders.
type file struct {
	path string // from the root, with slashes
	text []byte

	fset *token.FileSet
	ast  *ast.File
}

func (f *file) isGo() bool        { return f.ast != nil }
func (f *file) isTest() bool      { return strings.HasSuffix(f.path, "_test.go") }
func (f *file) isGenerated() bool { return f.isGo() && ast.IsGenerated(f.ast) }
func (f *file) dir() string       { return path.Dir(f.path) }
func (f *file) lines() int        { return bytes.Count(f.text, []byte("\n")) }

// at says where a violation is, in the form that editors jump to.
func (f *file) at(p token.Pos) string {
	return fmt.Sprintf("%s:%d", f.path, f.fset.Position(p).Line)
}

// imports returns the paths that the file imports, with their places.
func (f *file) imports() map[string]token.Pos {
	paths := make(map[string]token.Pos, len(f.ast.Imports))
	for _, spec := range f.ast.Imports {
		paths[strings.Trim(spec.Path.Value, `"`)] = spec.Pos()
	}
	return paths
}

// localName returns the name under which the file uses an imported package
// ("time" for time unless renamed), or "" when it does not import it.
func (f *file) localName(importPath string) string {
	for _, spec := range f.ast.Imports {
		if strings.Trim(spec.Path.Value, `"`) != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// load reads a tree, whatever the build tags of its Go files say: a rule that
// a tag could switch off would be no rule.
func load(root fs.FS) ([]*file, error) {
	var files []*file
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == ".git" || name == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || entry.Name() == ".git" { // a file in a work tree beside the first
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		f := &file{path: name, text: text}
		if strings.HasSuffix(name, ".go") && !strings.Contains("/"+name, "/testdata/") {
			f.fset = token.NewFileSet()
			f.ast, err = parser.ParseFile(f.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return fmt.Errorf("parse %s: %w", name, err)
			}
		}
		files = append(files, f)
		return nil
	})
	return files, err
}
