package docs

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"github.com/lingo-services/profile/api/openapi"
)

//go:embed page viewer/swagger-ui-bundle.js viewer/swagger-ui.css
var files embed.FS

const prefix = "/docs/"

// policy lets the page load what is served here, and nothing else; scripts and styles in the page itself do not run.
// The viewer's icons are data.
const policy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// types are those of the files; the machine's own table is not asked.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".yaml": "application/yaml",
}

// Handler serves the page under /docs/, the document at /docs/openapi.yaml, and next everywhere else. Files that do
// not exist and other methods than GET and HEAD are next's to refuse.
func Handler(next http.Handler) (http.Handler, error) {
	contents, err := load()
	if err != nil {
		return nil, err
	}
	compressed, err := gzhttp.NewWrapper()
	if err != nil {
		return nil, fmt.Errorf("prepare compression: %w", err)
	}
	page := compressed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := fileOf(r.URL.Path)
		header := w.Header()
		header.Set("Content-Type", types[path.Ext(name)])
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(contents[name]))
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch {
		case reads && r.URL.Path == strings.TrimSuffix(prefix, "/"):
			http.Redirect(w, r, prefix, http.StatusPermanentRedirect)
		case reads && strings.HasPrefix(r.URL.Path, prefix) && contents[fileOf(r.URL.Path)] != nil:
			page.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	}), nil
}

// fileOf is the file at a path under /docs/.
func fileOf(urlPath string) string {
	if name := strings.TrimPrefix(urlPath, prefix); name != "" {
		return name
	}
	return "index.html"
}

// load reads what is served, by name.
func load() (map[string][]byte, error) {
	contents := map[string][]byte{"openapi.yaml": openapi.Document}
	for _, dir := range []string{"page", "viewer"} {
		entries, err := fs.ReadDir(files, dir)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", dir, err)
		}
		for _, entry := range entries {
			content, err := files.ReadFile(dir + "/" + entry.Name())
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", entry.Name(), err)
			}
			contents[entry.Name()] = content
		}
	}
	return contents, nil
}
