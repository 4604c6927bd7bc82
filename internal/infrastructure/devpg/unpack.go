package devpg

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// unpackLimit is several times the size of what the package holds.
const unpackLimit = 512 << 20

// unpack extracts the native/ part of an npm tarball into dir and makes the symbolic links that npm cannot
// carry. Nothing is written outside dir, whatever the names in the archive say: os.Root refuses.
func unpack(tarball io.Reader, dir string) error {
	if err := makeDirs(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := extract(tarball, root); err != nil {
		return err
	}
	return link(root)
}

func extract(tarball io.Reader, root *os.Root) error {
	gz, err := gzip.NewReader(tarball)
	if err != nil {
		return err
	}
	archive := tar.NewReader(io.LimitReader(gz, unpackLimit))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return gz.Close()
		}
		if err != nil {
			return err
		}
		name, ours := strings.CutPrefix(header.Name, "package/")
		if !ours || !strings.HasPrefix(name, "native/") {
			continue
		}
		if header.Typeflag != tar.TypeReg {
			return fmt.Errorf("%s is not a regular file", header.Name)
		}
		if err := extractFile(archive, root, name, header.FileInfo().Mode()); err != nil {
			return err
		}
	}
}

// extractFile writes one file, readable and where due executable for the account that runs Postgres.
func extractFile(content io.Reader, root *os.Root, name string, mode os.FileMode) error {
	if err := makeRootDirs(root, path.Dir(name)); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Chmod(0o644|mode&0o111), f.Close())
}

// makeRootDirs is makeDirs inside a root.
func makeRootDirs(root *os.Root, dir string) error {
	if _, err := root.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := makeRootDirs(root, path.Dir(dir)); err != nil {
		return err
	}
	return errors.Join(root.Mkdir(dir, 0o755), root.Chmod(dir, 0o755))
}

// link makes the links of pg-symlinks.json; without them postgres does not find its libraries.
func link(root *os.Root) error {
	raw, err := root.ReadFile("native/pg-symlinks.json")
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(raw, &links); err != nil {
		return fmt.Errorf("pg-symlinks.json: %w", err)
	}
	for _, l := range links {
		// A root confines where a link is, not where it points.
		if !filepath.IsLocal(l.Source) || !filepath.IsLocal(l.Target) {
			return fmt.Errorf("pg-symlinks.json: link from %q to %q leads out of the package", l.Target, l.Source)
		}
		relative, err := filepath.Rel(path.Dir(l.Target), l.Source)
		if err != nil {
			return fmt.Errorf("pg-symlinks.json: %w", err)
		}
		if err := root.Symlink(relative, l.Target); err != nil {
			return err
		}
	}
	return nil
}
