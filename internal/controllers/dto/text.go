package dto

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	maxDisplayName = 64
	maxURLBytes    = 2048
)

// displayName is NFC without surrounding blanks (S7); problem is empty when it is a name.
func displayName(raw string) (name, problem string) {
	name = strings.TrimSpace(norm.NFC.String(raw))
	switch n := utf8.RuneCountInString(name); {
	case !utf8.ValidString(raw):
		return "", "must be valid UTF-8"
	case strings.ContainsFunc(name, forbiddenInName):
		return "", "must not contain control or bidirectional-override characters"
	case n < 1 || n > maxDisplayName:
		return "", "must have 1-64 characters after trimming"
	}
	return name, ""
}

// forbiddenInName are C0 and C1 controls, line separators and bidirectional controls (trust.md T8).
func forbiddenInName(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// goalProblem checks a learning goal, which may have lines.
func goalProblem(goal string) string {
	if strings.ContainsFunc(goal, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
		return "must not contain control characters but tab and newline"
	}
	return ""
}

// urlProblem checks an avatar URL; allowHTTP is for development.
func urlProblem(raw string, allowHTTP bool) string {
	const problem = "must be an absolute https URL of at most 2048 bytes"
	if len(raw) > maxURLBytes || strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return problem
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return problem
	}
	if u.Scheme != "https" && (!allowHTTP || u.Scheme != "http") {
		return problem
	}
	return ""
}
