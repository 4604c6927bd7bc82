// Package userinfotest has values of the user info header, for tests of whoever reads it.
package userinfotest

import (
	"encoding/base64"
	"strings"
)

// Ada is the user whom the good values name; Grace is somebody else.
const (
	Ada   = "0190d5a0-1111-7abc-8def-00000000abcd"
	Grace = "0190d5a0-2222-7abc-8def-00000000dcba"
)

// Raw is a document as the header has it.
func Raw(document string) string { return base64.RawURLEncoding.EncodeToString([]byte(document)) }

// Sub is a document whose sub is value, which is JSON.
func Sub(value string) string { return Raw(`{"sub":` + value + `}`) }

// Wide encodes with all of + / - _, so that the two alphabets differ.
const Wide = `{"sub":"` + Ada + `","x":"???>>>~~~ÿÿÿ"}`

// Good are values that name Ada, by what is special about them.
func Good() map[string]string {
	return map[string]string{
		"base64 padded":             base64.StdEncoding.EncodeToString([]byte(Wide)),
		"base64 without padding":    base64.RawStdEncoding.EncodeToString([]byte(Wide)),
		"base64url padded":          base64.URLEncoding.EncodeToString([]byte(Wide)),
		"base64url no padding":      base64.RawURLEncoding.EncodeToString([]byte(Wide)),
		"sub":                       Sub(`"` + Ada + `"`),
		"user_id":                   Raw(`{"user_id":"` + Ada + `"}`),
		"uid":                       Raw(`{"uid":"` + Ada + `"}`),
		"all three alike":           Raw(`{"user_id":"` + strings.ToUpper(Ada) + `","sub":"` + Ada + `","uid":"` + Ada + `"}`),
		"two alike":                 Raw(`{"uid":"` + Ada + `","user_id":"` + Ada + `"}`),
		"upper case":                Sub(`"` + strings.ToUpper(Ada) + `"`),
		"mixed case":                Sub(`"0190D5a0-1111-7aBc-8dEf-00000000AbCd"`),
		"blanks in the document":    Raw("{ \n\t\"sub\" : \"" + Ada + "\" \r\n}"),
		"other claims":              Raw(`{"iss":"x","aud":["a","b"],"exp":1,"sub":"` + Ada + `","nested":{"sub":"` + Grace + `"}}`),
		"repeated keys deep inside": Raw(`{"sub":"` + Ada + `","nested":{"a":1,"a":2}}`),
		"escaped claim name":        Raw(`{"\u0073ub":"` + Ada + `"}`),
		"escaped value":             Sub(`"\u0030` + Ada[1:] + `"`),
	}
}

// Bad are values that name nobody, or more than one.
func Bad() map[string]string {
	good := Sub(`"` + Ada + `"`)
	return map[string]string{
		"empty":                     "",
		"padding only":              "====",
		"blank":                     " ",
		"plain JSON":                `{"sub":"` + Ada + `"}`,
		"plain id":                  Ada,
		"not base64":                "%%%not-base64%%%",
		"mixed alphabets":           "+_" + good,
		"padding inside":            good[:8] + "==" + good[8:],
		"leading blank":             " " + good,
		"trailing blank":            good + " ",
		"two headers joined":        good + "," + good,
		"truncated":                 good[:len(good)-6],
		"empty document":            Raw(" "),
		"null":                      Raw("null"),
		"string":                    Raw(`"` + Ada + `"`),
		"number":                    Raw("1"),
		"array":                     Raw(`[{"sub":"` + Ada + `"}]`),
		"no claims":                 Raw("{}"),
		"other claims only":         Raw(`{"email":"ada@example.com"}`),
		"claim in another case":     Raw(`{"Sub":"` + Ada + `"}`),
		"unclosed object":           Raw(`{"sub":"` + Ada + `"`),
		"missing value":             Raw(`{"sub":}`),
		"trailing object":           Raw(`{"sub":"` + Ada + `"}{"sub":"` + Grace + `"}`),
		"trailing text":             Raw(`{"sub":"` + Ada + `"} x`),
		"trailing comma":            Raw(`{"sub":"` + Ada + `",}`),
		"byte order mark":           Raw("\ufeff" + `{"sub":"` + Ada + `"}`),
		"repeated sub":              Raw(`{"sub":"` + Ada + `","sub":"` + Grace + `"}`),
		"repeated same sub":         Raw(`{"sub":"` + Ada + `","sub":"` + Ada + `"}`),
		"repeated by escape":        Raw(`{"sub":"` + Ada + `","\u0073ub":"` + Grace + `"}`),
		"repeated other claim":      Raw(`{"a":1,"sub":"` + Ada + `","a":2}`),
		"sub null":                  Sub("null"),
		"sub number":                Sub("7"),
		"sub object":                Sub(`{"id":"` + Ada + `"}`),
		"sub list":                  Sub(`["` + Ada + `"]`),
		"sub empty":                 Sub(`""`),
		"sub not a UUID":            Sub(`"auth0|12345"`),
		"sub in braces":             Sub(`"{` + Ada + `}"`),
		"sub as urn":                Sub(`"urn:uuid:` + Ada + `"`),
		"sub as 32 digits":          Sub(`"` + strings.ReplaceAll(Ada, "-", "") + `"`),
		"sub nil UUID":              Sub(`"00000000-0000-0000-0000-000000000000"`),
		"sub with a blank":          Sub(`" ` + Ada[1:] + `"`),
		"sub with a newline":        Sub(`"` + Ada + `\n"`),
		"sub with NUL":              Sub(`"` + Ada[:35] + `\u0000"`),
		"sub in wide digits":        Sub(`"０` + Ada[3:] + `"`),
		"sub invalid UTF-8":         Sub("\"\xff" + Ada[1:] + `"`),
		"bad sub, good user_id":     Raw(`{"sub":"nobody","user_id":"` + Ada + `"}`),
		"null sub, good uid":        Raw(`{"sub":null,"uid":"` + Ada + `"}`),
		"user_id and sub differ":    Raw(`{"user_id":"` + Grace + `","sub":"` + Ada + `"}`),
		"uid and sub differ":        Raw(`{"uid":"` + Grace + `","sub":"` + Ada + `"}`),
		"uid and user_id differ":    Raw(`{"uid":"` + Grace + `","user_id":"` + Ada + `"}`),
		"good sub, bad uid":         Raw(`{"sub":"` + Ada + `","uid":7}`),
		"good sub, uid of its own":  Raw(`{"sub":"` + Ada + `","uid":"auth0|12345"}`),
		"over 8 KiB":                Raw(`{"sub":"` + Ada + `","pad":"` + strings.Repeat("x", 8<<10) + `"}`),
		"64 KiB":                    strings.Repeat("A", 64<<10),
		"8 KiB of opening brackets": Raw(`{"a":` + strings.Repeat("[", 6000)),
	}
}
