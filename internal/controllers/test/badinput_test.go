package test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

// requireHarmless sends wire bytes and checks that a refusal is the caller's fault and changed nothing.
func requireHarmless(t *testing.T, s *testkit.Service, m method, wire []byte, pairs []string, note string) {
	t.Helper()
	before := s.DB.RowCounts(t)
	err := call(t, s, m, wire, pairs)
	if err == nil {
		return
	}
	code, why := reason(t, err)
	require.Contains(t, []codes.Code{
		codes.InvalidArgument, codes.PermissionDenied, codes.NotFound, codes.Aborted, codes.FailedPrecondition, codes.Unimplemented,
	}, code, "%s: %s: %s %v", m.Name(), note, why, err)
	require.Equal(t, before, s.DB.RowCounts(t), "%s: %s", m.Name(), note)
}

// caller is who may call the method at all.
func caller(t *testing.T, m method, user models.UserID) []string {
	t.Helper()
	if accessOf(t, m).self {
		return asUser(user)
	}
	return asService("admin")
}

func encoded(t *testing.T, m method, user models.UserID) []byte {
	t.Helper()
	wire, err := proto.Marshal(request(t, m, user.String()))
	require.NoError(t, err)
	return wire
}

// evil is one value of a field, encoded with its tag, to be appended to a valid request: the last one wins,
// and a nested message is merged.
type evil struct {
	note string
	wire []byte
}

func bytesField(n protowire.Number, value string) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), []byte(value))
}

func varintField(n protowire.Number, value int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), uint64(value))
}

func doubleField(n protowire.Number, value float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, n, protowire.Fixed64Type), math.Float64bits(value))
}

// evils are bad values for every field below d, found by reflection.
func evils(d protoreflect.MessageDescriptor, depth int) (list []evil) {
	const deepest = 4
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		n, name := f.Number(), string(f.Name())
		switch {
		case f.Kind() == protoreflect.StringKind:
			for note, value := range map[string]string{
				"invalid UTF-8": "\xff\xfe\x80", "overlong UTF-8": "\xc0\x80", "surrogate": "\xed\xa0\x80", "NUL": "a\x00b", "escape": "\x1b[31m", "CRLF": "a\r\nb",
				"64 KiB": strings.Repeat("x", 64<<10), "SQL": "'; DROP TABLE profile.users; --", "backslash": `\`, "override": "a\u202eb", "unassigned": "\U0010FFFF",
			} {
				list = append(list, evil{name + " " + note, bytesField(n, value)})
			}
		case f.Kind() == protoreflect.DoubleKind:
			for _, value := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -1, math.Copysign(0, -1), math.SmallestNonzeroFloat64} {
				list = append(list, evil{name + " double", doubleField(n, value)})
			}
		case f.Message() != nil && f.Message().FullName() == "google.protobuf.Struct":
			list = append(list, structs(n, name)...)
		case f.Message() != nil && depth < deepest:
			for _, inner := range evils(f.Message(), depth+1) {
				list = append(list, evil{name + "." + inner.note, bytesField(n, string(inner.wire))})
			}
		case f.Message() == nil:
			for _, value := range []int64{math.MinInt64, math.MaxInt64, math.MinInt32, math.MaxInt32, -1, 0, 99} {
				list = append(list, evil{name + " integer", varintField(n, value)})
			}
		}
		list = append(list, evil{name + " of another wire type", protowire.AppendFixed32(protowire.AppendTag(nil, n, protowire.Fixed32Type), 7)})
	}
	return append(list,
		evil{"truncated field", []byte{0x12, 0x7f, 'x'}}, evil{"endless varint", bytes.Repeat([]byte{0xff}, 11)},
		evil{"field zero", []byte{0x00, 0x00}}, evil{"open group", protowire.AppendTag(nil, 7, protowire.StartGroupType)},
		evil{"unknown field", bytesField(7777, "x")})
}

func entry(key string, value []byte) []byte {
	return bytesField(1, string(append(bytesField(1, key), bytesField(2, string(value))...)))
}

// nested is a JSON value of that many objects in each other.
func nested(levels int) []byte {
	value := varintField(1, 0)
	for range levels {
		value = bytesField(5, string(entry("k", value)))
	}
	return value
}

// structs are bad documents for a Struct in field n.
func structs(n protowire.Number, name string) (list []evil) {
	for note, document := range map[string][]byte{
		"NaN": entry("k", doubleField(2, math.NaN())), "infinity": entry("k", doubleField(2, math.Inf(-1))), "NUL": entry("k", bytesField(3, "\x00")),
		"invalid UTF-8": entry("k", bytesField(3, "\xff")), "bad key": entry("\x00", varintField(1, 0)), "invalid key": entry("\xff", varintField(1, 0)),
		"no kind": entry("k", nil), "6 levels": entry("k", nested(6)), "500 levels": entry("k", nested(500)), "3000 levels": entry("k", nested(3000)),
		"unknown null": entry("k", varintField(1, 77)), "numbers that grow": entry("k", numbers(1e300, 1000)), "200 KiB": entry("k", bytesField(3, strings.Repeat("x", 200<<10))),
	} {
		list = append(list, evil{name + " " + note, bytesField(n, string(document))})
	}
	return list
}

func numbers(value float64, count int) []byte {
	list := &structpb.ListValue{}
	for range count {
		list.Values = append(list.Values, structpb.NewNumberValue(value))
	}
	wire, _ := proto.Marshal(structpb.NewListValue(list))
	return wire
}

func TestS89_BadFieldsAreNeverInternal(t *testing.T) {
	t.Parallel()
	for _, m := range methods() {
		t.Run(string(m.Name()), func(t *testing.T) {
			t.Parallel()
			s, user := furnished(t)
			base := encoded(t, m, user)
			for _, bad := range evils(m.Input(), 0) {
				requireHarmless(t, s, m, append(bytes.Clone(base), bad.wire...), caller(t, m, user), bad.note)
			}
			s.RequireNoDrift(t)
		})
	}
}

func TestS89_MutatedMessagesAreNeverInternal(t *testing.T) {
	t.Parallel()
	const mutants = 60
	for _, m := range methods() {
		t.Run(string(m.Name()), func(t *testing.T) {
			t.Parallel()
			s, user := furnished(t)
			random := rand.New(rand.NewPCG(3, 4))
			base := encoded(t, m, user)
			for range mutants {
				wire := bytes.Clone(base)
				for range 1 + random.IntN(4) {
					switch at := random.IntN(len(wire) + 1); {
					case at == len(wire) || random.IntN(4) == 0:
						wire = append(wire, byte(random.IntN(256)))
					case random.IntN(3) == 0:
						wire = append(wire[:at], wire[at+1:]...)
					default:
						wire[at] ^= 1 << random.IntN(8)
					}
				}
				requireHarmless(t, s, m, wire, caller(t, m, user), "mutated")
			}
		})
	}
}

func TestS89_BadMetadataIsNeverInternal(t *testing.T) {
	t.Parallel()
	s, user := furnished(t)
	for _, m := range methods() {
		base := encoded(t, m, user)
		for _, key := range []string{"x-md-idempotency-key", "x-md-if-match", "x-md-if-none-match", "x-md-client-time", "x-md-consistency"} {
			for _, value := range []string{"", " ", "*", "yesterday", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", strings.Repeat("x", 4096), `W/"","`, "-1"} {
				requireHarmless(t, s, m, base, append(caller(t, m, user), key, value), key+": "+value[:min(len(value), 20)])
				requireHarmless(t, s, m, base, append(caller(t, m, user), key, value, key, "again"), key+" twice")
			}
		}
	}
	s.RequireNoDrift(t)
}

func TestS7_OversizedMessagesAreRefusedBeforeTheyAreRead(t *testing.T) {
	t.Parallel()
	s, user := furnished(t)
	before := contents(t, s.DB)
	for _, m := range methods() {
		wire := append(encoded(t, m, user), bytesField(7777, strings.Repeat("x", 257<<10))...)
		err := call(t, s, m, wire, caller(t, m, user))
		require.Equal(t, codes.ResourceExhausted, status.Code(err), m.Name())
	}
	require.Equal(t, before, contents(t, s.DB))
}

func TestS7_ExtraThatGrowsInTheDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	list := &structpb.ListValue{}
	for range 2000 { // 12 KiB as JSON, 600 KB in jsonb
		list.Values = append(list.Values, structpb.NewNumberValue(1e300))
	}
	_, err := s.AsUser(user).UpdatePreferences(t.Context(), &profilev1.UpdatePreferencesRequest{
		Preferences: &profilev1.Preferences{Extra: &structpb.Struct{Fields: map[string]*structpb.Value{"k": structpb.NewListValue(list)}}},
	})
	details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
	require.Equal(t, []string{"preferences.extra"}, details.Fields())
}

func TestS6_NumbersThatJSONLacksAreNotStoredAsText(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	for _, value := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		_, err := s.AsUser(user).UpdatePreferences(t.Context(), &profilev1.UpdatePreferencesRequest{
			Preferences: &profilev1.Preferences{Extra: &structpb.Struct{Fields: map[string]*structpb.Value{"k": structpb.NewNumberValue(value)}}},
		})
		details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
		require.Equal(t, []string{"preferences.extra.k"}, details.Fields())
	}
	require.Zero(t, s.DB.RowCounts(t)["users"])
}

func TestS54_ForeignAndTamperedCursorsAreRefused(t *testing.T) {
	t.Parallel()
	s, user := furnished(t)
	other := like()
	other.VideoId = testkit.NewVideo().String()
	_, err := s.AsUser(user).MutateFavorite(t.Context(), other)
	require.NoError(t, err)
	page, err := s.AsUser(user).ListFavorites(t.Context(), &profilev1.ListFavoritesRequest{PageSize: 1})
	require.NoError(t, err)
	token := page.GetNextPageToken()
	require.NotEmpty(t, token)

	refused := func(err error) {
		t.Helper()
		details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidPageToken)
		require.Equal(t, []string{"page_token"}, details.Fields())
	}
	_, err = s.AsUser(testkit.NewUser()).ListFavorites(t.Context(), &profilev1.ListFavoritesRequest{PageToken: token})
	refused(err)
	_, err = s.AsService("reader").ListFavorites(t.Context(), &profilev1.ListFavoritesRequest{UserId: testkit.NewUser().String(), PageToken: token})
	refused(err)
	_, err = s.AsUser(user).ListWatchHistory(t.Context(), &profilev1.ListWatchHistoryRequest{PageToken: token})
	refused(err)
	for _, req := range []*profilev1.ListFavoritesRequest{
		{FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE}, {IncludeUnavailable: true}, {FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK},
	} {
		req.PageToken = token
		_, err = s.AsUser(user).ListFavorites(t.Context(), req)
		refused(err)
	}
	for i := range token {
		changed := []byte(token)
		changed[i] = 'A' + (changed[i]+1)%26
		if string(changed) == token {
			continue
		}
		_, err = s.AsUser(user).ListFavorites(t.Context(), &profilev1.ListFavoritesRequest{PageToken: string(changed)})
		refused(err)
	}
	rest, err := s.AsService("reader").ListFavorites(t.Context(), &profilev1.ListFavoritesRequest{UserId: user.String(), PageToken: token, PageSize: 50})
	require.NoError(t, err, "the same list for a service, and another page size")
	require.Len(t, rest.GetFavorites(), 1)
}
