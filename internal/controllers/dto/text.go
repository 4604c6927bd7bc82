package dto

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

const (
	maxDisplayName = 64
	maxURLBytes    = 2048
	maxPort        = 1<<16 - 1
)

// displayName is NFC without surrounding blanks (S7); problem is empty when it is a name.
func displayName(raw string) (name, problem string) {
	if !utf8.ValidString(raw) {
		return "", "must be valid UTF-8"
	}
	name = strings.TrimSpace(nfc(raw))
	switch n := utf8.RuneCountInString(name); {
	case strings.ContainsFunc(name, forbiddenInName):
		return "", "must not contain control or bidirectional-override characters"
	case n < 1 || n > maxDisplayName:
		return "", "must have 1-64 characters after trimming"
	case !strings.ContainsFunc(name, isSeen):
		return "", "must have a character that can be seen"
	}
	return name, ""
}

// nfc is Unicode's NFC. norm.NFC is that of Stream-Safe text: after 30 marks it inserts U+034F, and sorts and composes
// no further.
func nfc(text string) string {
	var decomposed []rune
	for _, r := range text {
		decomposed = append(decomposed, []rune(norm.NFD.String(string(r)))...)
	}
	for from := 0; from < len(decomposed); from++ {
		to := from
		for to < len(decomposed) && class(decomposed[to]) != 0 {
			to++
		}
		slices.SortStableFunc(decomposed[from:to], func(a, b rune) int { return int(class(a)) - int(class(b)) })
		from = to
	}
	composed := decomposed[:0]
	starter := -1
	for _, r := range decomposed {
		last := len(composed) - 1
		if starter >= 0 && (last == starter || class(composed[last]) != 0 && class(composed[last]) < class(r)) {
			if both := []rune(norm.NFC.String(string([]rune{composed[starter], r}))); len(both) == 1 {
				composed[starter] = both[0]
				continue
			}
		}
		composed = append(composed, r)
		if class(r) == 0 {
			starter = last + 1
		}
	}
	return string(composed)
}

// class is the canonical combining class: 0 for what starts a sequence.
func class(r rune) uint8 { return norm.NFD.PropertiesString(string(r)).CCC() }

// forbiddenInName are C0 and C1 controls, line separators and bidirectional controls (trust.md T8).
func forbiddenInName(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// blanks look like a space and are none to Unicode: braille blank, null notehead, blanks of hieroglyphs.
const blanks = "\u2800\U0001d159\U00013441\U00013442"

// isInvisible reports whether nothing is seen of r, whatever it stands beside: controls, formats, blanks, fillers and
// what is not assigned.
func isInvisible(r rune) bool {
	return !unicode.IsOneOf([]*unicode.RangeTable{unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Co}, r) ||
		unicode.IsOneOf([]*unicode.RangeTable{unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector}, r) ||
		strings.ContainsRune(blanks, r)
}

// isSeen reports whether r can be seen alone.
func isSeen(r rune) bool { return !isInvisible(r) && !unicode.IsMark(r) }

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
	if len(raw) > maxURLBytes {
		return problem
	}
	u, err := url.Parse(raw)
	switch {
	case strings.ContainsFunc(raw, isInvisible):
		return "must not contain control, bidirectional or invisible characters"
	case err != nil || u.User != nil || u.Opaque != "":
		return problem
	case u.Scheme != "https" && (!allowHTTP || u.Scheme != "http"):
		return problem
	case !isHost(u.Hostname()):
		return "must have a valid host"
	case !isPort(u):
		return "must have a port from 1 to 65535, or none"
	}
	return ""
}

// hosts are read as browsers read them, but that every label has 1 to 63 characters.
var hosts = idna.New(idna.MapForLookup(), idna.StrictDomainName(false), idna.VerifyDNSLength(true))

func isHost(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	ascii, err := hosts.ToASCII(name)
	return err == nil && !strings.HasSuffix(ascii, ".") && !strings.ContainsFunc(name, isInvisible)
}

func isPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.Atoi(u.Port())
	return err == nil && port >= 1 && port <= maxPort
}
