package test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lingo-services/profile/internal/controllers/rest"
	"github.com/lingo-services/profile/test/testkit"
)

// naughty are strings that break programs: control characters, invisible and bidirectional ones, what SQL, shells,
// templates, formats and paths take for theirs, names that languages reserve, and what looks like another type.
func naughty() []string {
	list := []string{
		"", " ", "\u00a0", "undefined", "null", "NULL", "nil", "None", "NaN", "Infinity", "-Infinity", "true", "false", "[]", "{}", `""`, "0", "-0", "1e309", "0x10", "1/0",
		"9223372036854775808", "1,000", "１２３", "٣", "constructor", "__proto__", "hasOwnProperty", "CON", "LPT1", "aux.txt", "../../../../etc/passwd", `..\..\windows`, "%2e%2e%2f",
		"%00", "%", "%%", "%s%s%n", "%d", "{0}", "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "$(id)", "`id`", "| id", "; id", "&& id", "\\", `\\`, `\"`, `\u0000`, `\x00`, `\n`,
		"'", "''", `"`, "`", "' OR '1'='1", "'; DROP TABLE profile.users; --", `"; DROP SCHEMA profile CASCADE; --`, "$$", "$1", "$tag$", "/*", "*/", "--", "E'\\''", "U&'\\0041'",
		"1; SELECT pg_sleep(10)", "' UNION SELECT * FROM profile.users --", "\\'; --", "%' LIKE '%", "_", "*", "?", "(", ")", "[", "^", "(?:", "(a+)+$", "<script>alert(1)</script>",
		`<img src=x onerror=alert(1)>`, "javascript:alert(1)", "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", "<![CDATA[", "&lt;", "&#0;", "https://",
		"https://example.org\\@evil.example", "//evil.example", "file:///etc/passwd", "http://[::1]:9090/", "http://169.254.169.254/", "ftp://x", "https://user:pass@host/", "data:text/html,x",
		"a\r\nSet-Cookie: a=b", "\n", "\t", "\r", "a\nb", "a\x00b", "\u2028", "\u2029", "\ufeff", "\u200b", "\u200c", "\u200d", "\u2060", "\u00ad", "\u034f", "\u061c", "\u180e", "\u3164", "\u2800",
		"\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069", "\ufff9", "\ufffc", "\ufffd", "\ufffe", "\uffff", "\U0001fffe", "\U000e0001", "\U0010ffff", "\ue000",
		"é", "e\u0301", "Å", "ﬁ", "ß", "İ", "ı", "ſ", "K", "田中さん", "사회", "مرحبا", "שלום", "ไทย", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "👍🏿", "Z̮̞̠͙͔ͅ", "à" + strings.Repeat("\u0300", 40),
		"¯\\_(ツ)_/¯", "́", strings.Repeat("a", 65), strings.Repeat("😀", 64), strings.Repeat("😀", 65), strings.Repeat("x", 513), strings.Repeat("x", 2049), strings.Repeat("x", 5000),
		"00000000-0000-0000-0000-000000000000", "{0190d5a0-3333-7abc-8def-00000000abcd}", "urn:uuid:0190d5a0-3333-7abc-8def-00000000abcd", "0190d5a033337abc8def00000000abcd",
		"0190D5A0-3333-7ABC-8DEF-00000000ABCD", "0190d5a0-3333-7abc-8def-00000000abcg", "me", "-", "~", "2026-02-30T00:00:00Z", "9999-12-31T23:59:60Z",
	}
	for c := rune(0); c < 0x20; c++ {
		list = append(list, "a"+string(c)+"b")
	}
	for c := rune(0x7f); c < 0xa0; c++ {
		list = append(list, "a"+string(c)+"b")
	}
	return list
}

// hostile are requests of m, each with text in another place that takes a string.
func hostile(t testing.TB, m method, text string) map[string]proto.Message {
	t.Helper()
	requests := map[string]proto.Message{}
	var visit func(path string, pick func(proto.Message) protoreflect.Message, d protoreflect.MessageDescriptor)
	visit = func(path string, pick func(proto.Message) protoreflect.Message, d protoreflect.MessageDescriptor) {
		for i := range d.Fields().Len() {
			field := d.Fields().Get(i)
			name := path + string(field.Name())
			req := request(t, m, "")
			switch {
			case field.Kind() == protoreflect.StringKind && field.IsList():
				pick(req).Mutable(field).List().Append(protoreflect.ValueOfString(text))
			case field.Kind() == protoreflect.StringKind:
				pick(req).Set(field, protoreflect.ValueOfString(text))
			case field.Message() != nil && field.Message().FullName() == "google.protobuf.Struct":
				extra := &structpb.Struct{Fields: map[string]*structpb.Value{"k": structpb.NewStringValue(text), text: structpb.NewBoolValue(true)}}
				pick(req).Set(field, protoreflect.ValueOfMessage(extra.ProtoReflect()))
			case field.Message() != nil && field.Message().ParentFile().Package() == "profile.v1":
				visit(name+".", func(msg proto.Message) protoreflect.Message { return pick(msg).Mutable(field).Message() }, field.Message())
				continue
			default:
				continue
			}
			requests[name] = req
		}
	}
	visit("", proto.Message.ProtoReflect, m.Input())
	return requests
}

func TestT8_NaughtyStringsAreNeverOurFault(t *testing.T) {
	t.Parallel()
	strange := naughty()
	require.GreaterOrEqual(t, len(strange), 200)
	s := testkit.New(t)
	user := inhabited(t, s)
	calls := 0
	for _, text := range strange {
		require.True(t, utf8.ValidString(text), "%q", text)
		for _, m := range methods() {
			for field, req := range hostile(t, m, text) {
				code := status.Code(call(t, s, m, req, caller(t, m, user)))
				require.NotContains(t, []codes.Code{codes.Unknown, codes.Internal, codes.Unavailable, codes.DeadlineExceeded}, code, "%s %s %q", m.Name(), field, text)
				route := rest.Routes()[routeOf(m)]
				path, body, possible := inREST(t, route, req)
				calls++
				if !possible {
					continue
				}
				got := ask(t, s, route.Verb, path, body, caller(t, m, user)...)
				require.True(t, got.code < http.StatusInternalServerError || got.code == http.StatusNotImplemented, "%s %s %q: %s", route, field, text, got.body)
				calls++
			}
		}
	}
	t.Logf("%d calls with %d strings", calls, len(strange))
	s.RequireNoDrift(t)
}

// routeOf is the place of a method's first route.
func routeOf(m method) int {
	for i, route := range rest.Routes() {
		if route.Method.Name() == m.Name() {
			return i
		}
	}
	panic(fmt.Sprintf("%s has no route", m.Name()))
}
