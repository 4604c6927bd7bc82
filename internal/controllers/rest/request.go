package rest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// checked refuses what HTTP itself says is wrong, and reads the body.
func (e *edge) checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verbs := allowed(e.routes, r.URL.Path)
		verb := r.Method
		if verb == http.MethodHead {
			verb = http.MethodGet
		}
		switch {
		case !slices.Contains(verbs, verb) && (len(verbs) == 0 || verb != http.MethodOptions):
			e.unrouted(w, r, verbs) // grpc-gateway would take an empty id for one
			return
		case verb == http.MethodOptions:
			w.Header().Set("Allow", strings.Join(verbs, ", "))
			w.WriteHeader(http.StatusNoContent)
			return
		case !acceptsJSON(r.Header.Values("Accept")):
			e.refuse(w, r, http.StatusNotAcceptable, "answers are application/json")
			return
		}
		parameters, err := readable(r)
		if err != nil {
			e.refuse(w, r, http.StatusBadRequest, err.Error())
			return
		}
		hasBody := verb != http.MethodGet && verb != http.MethodDelete
		body, ok := e.read(w, r, hasBody)
		if !ok {
			return
		}
		r = r.WithContext(withRequest(r.Context(), asked{verb, hasBody, parameters}))
		r.Method, r.Body = verb, io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// readable refuses what gRPC cannot carry: grpc-gateway would leave such headers out, and go on without them.
func readable(r *http.Request) (url.Values, error) {
	for name := range incoming {
		for _, value := range r.Header.Values(name) {
			if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }) {
				return nil, fmt.Errorf("the header %s has characters that are not printable ASCII", name)
			}
		}
	}
	parameters, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errors.New("the query cannot be read")
	}
	texts := []string{r.URL.Path}
	for name, values := range parameters {
		texts = append(append(texts, name), values...)
	}
	if !slices.ContainsFunc(texts, func(text string) bool { return !utf8.ValidString(text) }) {
		return parameters, nil
	}
	return nil, errors.New("path and query must be UTF-8")
}

// read reads a body, where there may be one. ok is false when that was answered.
func (e *edge) read(w http.ResponseWriter, r *http.Request, hasBody bool) (body []byte, ok bool) {
	if !hasBody {
		if r.ContentLength != 0 {
			e.refuse(w, r, http.StatusBadRequest, r.Method+" takes no body")
		}
		return nil, r.ContentLength == 0
	}
	if r.ContentLength > e.opts.MaxBodyBytes { // unread: it is known to be too long
		e.tooLong(w, r)
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, e.opts.MaxBodyBytes))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		e.tooLong(w, r)
	case err != nil:
		e.refuse(w, r, http.StatusBadRequest, "the body ended early")
	case len(body) > 0 && !isJSON(r):
		w.Header().Set("Accept", "application/json")
		e.refuse(w, r, http.StatusUnsupportedMediaType, "bodies are application/json, or application/merge-patch+json with PATCH")
	default:
		return body, true
	}
	return nil, false
}

func (e *edge) tooLong(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close") // whoever sends the rest would have it read
	e.refuse(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("a body has at most %d bytes", e.opts.MaxBodyBytes))
}

// refuse says what HTTP itself says. Its log line has nothing that the caller wrote but the request's id, not even the path.
func (e *edge) refuse(w http.ResponseWriter, r *http.Request, code int, detail string) {
	e.observer.HTTPRefused(code)
	e.log.LogAttrs(r.Context(), slog.LevelDebug, "refused by HTTP", slog.Int("code", code), slog.String("request_id", r.Header.Get(headerRequestID)))
	Problem{Type: "about:blank", Title: http.StatusText(code), Status: code, Detail: detail}.write(w, r)
}

func isJSON(r *http.Request) bool {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	return err == nil && r.Header.Get("Content-Encoding") == "" && (charset == "" || strings.EqualFold(charset, "utf-8")) &&
		(kind == "application/json" || kind == "application/merge-patch+json" && r.Method == http.MethodPatch)
}

// acceptsJSON reports whether a list of media ranges admits application/json; none admits everything.
func acceptsJSON(ranges []string) bool {
	list := strings.TrimSpace(strings.Join(ranges, ","))
	if list == "" {
		return true
	}
	for item := range strings.SplitSeq(list, ",") {
		kind, params, err := mime.ParseMediaType(strings.TrimSpace(item))
		if err != nil || strings.Trim(params["q"], "0.") == "" && params["q"] != "" {
			continue
		}
		if kind == "*/*" || kind == "application/*" || kind == "application/json" || kind == contentTypeProblem {
			return true
		}
	}
	return false
}
