package devpg_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// tarball is an npm package with these entries and, unless given, an empty list of links.
func tarball(t *testing.T, links string, entries ...tar.Header) io.Reader {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	archive := tar.NewWriter(gz)
	write := func(h tar.Header, content string) {
		h.Size = int64(len(content))
		require.NoError(t, archive.WriteHeader(&h))
		_, err := archive.Write([]byte(content))
		require.NoError(t, err)
	}
	for _, entry := range entries {
		write(entry, "")
	}
	write(tar.Header{Name: "package/native/pg-symlinks.json", Mode: 0o644}, links)
	write(tar.Header{Name: "package/native/lib/libpq.so.5.16", Mode: 0o644}, "library")
	write(tar.Header{Name: "package/native/bin/postgres", Mode: 0o755}, "program")
	write(tar.Header{Name: "package/README.md", Mode: 0o644}, "not needed")
	require.NoError(t, archive.Close())
	require.NoError(t, gz.Close())
	return &b
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "package")
	require.NoError(t, devpg.Unpack(tarball(t, `[{"source":"native/lib/libpq.so.5.16","target":"native/lib/libpq.so.5"}]`), dir))
	linked, err := os.ReadFile(filepath.Join(dir, "native/lib/libpq.so.5"))
	require.NoError(t, err)
	assert.Equal(t, "library", string(linked))
	for path, mode := range map[string]os.FileMode{"native": 0o755, "native/bin/postgres": 0o755, "native/lib/libpq.so.5.16": 0o644} {
		info, err := os.Stat(filepath.Join(dir, path))
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), path)
	}
	assert.NoFileExists(t, filepath.Join(dir, "README.md"))
}

func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		links   string
		entries []tar.Header
		want    string
	}{
		"FileOutside":     {"[]", []tar.Header{{Name: "package/native/../../../evil", Mode: 0o644}}, "path escapes from parent"},
		"SymbolicLink":    {"[]", []tar.Header{{Name: "package/native/link", Typeflag: tar.TypeSymlink, Linkname: "/etc"}}, "is not a regular file"},
		"HardLink":        {"[]", []tar.Header{{Name: "package/native/link", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}}, "is not a regular file"},
		"Device":          {"[]", []tar.Header{{Name: "package/native/null", Typeflag: tar.TypeChar}}, "is not a regular file"},
		"SameNameTwice":   {"[]", []tar.Header{{Name: "package/native/bin/postgres", Mode: 0o644}}, "file exists"},
		"LinkOutside":     {`[{"source":"../../etc/passwd","target":"native/lib/x"}]`, nil, "leads out of the package"},
		"LinkAbsolute":    {`[{"source":"/etc/passwd","target":"native/lib/x"}]`, nil, "leads out of the package"},
		"LinkMadeOutside": {`[{"source":"native/lib/libpq.so.5.16","target":"../evil"}]`, nil, "leads out of the package"},
		"LinkList":        {"{", nil, "pg-symlinks.json: unexpected end of JSON input"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			around := t.TempDir()
			err := devpg.Unpack(tarball(t, tc.links, tc.entries...), filepath.Join(around, "package"))
			require.ErrorContains(t, err, tc.want)
			entries, err := os.ReadDir(around)
			require.NoError(t, err)
			assert.Len(t, entries, 1, "nothing lies beside the package")
		})
	}
	t.Run("NotATarball", func(t *testing.T) {
		t.Parallel()
		require.ErrorContains(t, devpg.Unpack(bytes.NewReader([]byte("hello, world")), t.TempDir()), "gzip: invalid header")
	})
}
