package devpg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// markerName marks a directory as made by this package. Only what lies in a marked directory is ever deleted.
const markerName = ".lingo-profile-devpg"

const markerText = "Made by github.com/lingo-services/profile (devpg). Safe to delete while no server runs.\n"

// claim creates dir with our marker, or accepts it when it carries the marker or is empty (a claim that was
// killed half way). Anything else belongs to someone else.
func claim(dir string, mode os.FileMode) error {
	if err := makeDirs(dir, mode); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return os.WriteFile(filepath.Join(dir, markerName), []byte(markerText), 0o600)
	}
	return checkMarker(dir)
}

func checkMarker(dir string) error {
	_, err := os.Lstat(filepath.Join(dir, markerName))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s has no %s file: it was not made by this program and is left alone", dir, markerName)
	}
	return err
}

// removeClaimed deletes what has these names in a marked directory; what is not there is fine.
func removeClaimed(dir string, names ...string) error {
	if err := checkMarker(dir); err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}
