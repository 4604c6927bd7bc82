package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
	"github.com/lingo-services/profile/test/testkit/issuertest"
	"github.com/lingo-services/profile/test/testkit/userinfotest"
)

const userInfoHeader = "x-apigateway-api-userinfo"

// most bytes of headers that either transport takes (trust.md T13).
const mostHeaders = 32 << 10

// trimmed are bad values that HTTP makes good before anybody sees them: blanks around a value are not part of it
// (RFC 9110, 5.5).
var trimmed = []string{"leading blank", "trailing blank"}

// presented is a way of showing user info.
type presented struct {
	name  string
	pairs []string
	good  bool
}

func presentations() (all []presented) {
	for name, value := range userinfotest.Good() {
		all = append(all, presented{name, []string{userInfoHeader, value}, true})
	}
	for name, value := range userinfotest.Bad() {
		all = append(all, presented{name, []string{userInfoHeader, value}, false})
	}
	good := userinfotest.Sub(`"` + userinfotest.Ada + `"`)
	grace := userinfotest.Sub(`"` + userinfotest.Grace + `"`)
	return append(
		all,
		presented{"header in another case", []string{"X-APIGateway-API-UserInfo", good}, true},
		presented{"header twice, alike", []string{userInfoHeader, good, userInfoHeader, good}, false},
		presented{"header twice, different", []string{userInfoHeader, good, userInfoHeader, grace}, false},
		presented{"header twice, in two cases", []string{userInfoHeader, good, strings.ToUpper(userInfoHeader), grace}, false},
		presented{"prefixed header", []string{"grpc-metadata-" + userInfoHeader, good}, false},
		presented{"binary header", []string{userInfoHeader + "-bin", good}, false},
		presented{"prefixed binary header", []string{"grpc-metadata-" + userInfoHeader + "-bin", good}, false},
		presented{"header with underscores", []string{strings.ReplaceAll(userInfoHeader, "-", "_"), good}, false},
		presented{"another header", []string{"x-endpoint-api-userinfo", good}, false},
		presented{"no header", nil, false},
	)
}

// likedBy asks over one transport for a like and says what came of it; too long for the transport is "HEADERS".
type likedBy func(t *testing.T, s *testkit.Service, pairs []string) (reason models.Reason)

const tooLongForTransport models.Reason = "HEADERS"

func likedOverGRPC(t *testing.T, s *testkit.Service, pairs []string) models.Reason {
	t.Helper()
	_, err := s.As(pairs...).MutateFavorite(t.Context(), like())
	if err != nil && reasonText(err) == "" {
		require.Contains(t, status.Convert(err).Message(), "header list size")
		require.NotEqual(t, codes.OK, status.Code(err))
		return tooLongForTransport
	}
	_, why := reason(t, err)
	return why
}

func likedOverREST(t *testing.T, s *testkit.Service, pairs []string) models.Reason {
	t.Helper()
	if size := len(strings.Join(pairs, "")); size > mostHeaders {
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, statusOf(t, s, pairs))
		return tooLongForTransport
	}
	return models.Reason(ask(t, s, http.MethodPut, likes, "", pairs...).problem.Reason)
}

// statusOf is the status of an answer that HTTP's own server gives, before anything of ours sees the request.
func statusOf(t *testing.T, s *testkit.Service, pairs []string) int {
	t.Helper()
	url := "http://" + s.App.Listeners.HTTP.Addr().String()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+likes, nil)
	require.NoError(t, err)
	for i := 0; i < len(pairs); i += 2 {
		req.Header.Add(pairs[i], pairs[i+1])
	}
	resp, err := transportOf(t, url).RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// Both transports read the user info header alike: from a trusted gateway what names one user is that user, anything
// else is nobody; from anybody else it is nothing.
func TestT1_UserInfoVectorsOverBothTransports(t *testing.T) {
	t.Parallel()
	key := issuertest.RSAKey(t, "one")
	server := issuertest.Serve(t, issuertest.Set(t, key))
	s := behindAGateway(t, server)
	gateway := []string{"authorization", tokenOf(t, key, server, nil)}
	strangers := map[string][]string{
		"without a token":     nil,
		"of a service":        {"authorization", tokenOf(t, key, server, issuertest.Claims{"email": writerEmail})},
		"of an unlisted one":  {"authorization", tokenOf(t, key, server, issuertest.Claims{"email": "x" + gatewayEmail})},
		"with another's key":  {"authorization", tokenOf(t, issuertest.RSAKey(t, "one"), server, nil)},
		"of an expired token": {"authorization", tokenOf(t, key, server, issuertest.Claims{"exp": 1})},
	}
	cases := presentations()
	require.GreaterOrEqual(t, len(cases), 40)
	for name, transport := range map[string]likedBy{"gRPC": likedOverGRPC, "REST": likedOverREST} {
		for _, c := range cases {
			s.DB.Exec(t, "TRUNCATE profile.engagements")
			before := contents(t, s.DB)
			want := models.ReasonUnauthenticated
			switch {
			case c.good, name == "REST" && slices.Contains(trimmed, c.name):
				want = ""
			case c.name == "64 KiB":
				want = tooLongForTransport
			}
			require.Equal(t, want, transport(t, s, slices.Concat(gateway, c.pairs)), "%s: %s", name, c.name)
			if want == "" {
				require.Equal(t, []string{userinfotest.Ada}, likers(t, s), "%s: %s", name, c.name)
				continue
			}
			require.Equal(t, before, contents(t, s.DB), "%s: %s", name, c.name)
		}
		before := contents(t, s.DB)
		for whose, stranger := range strangers {
			for _, c := range cases {
				require.NotEmpty(t, transport(t, s, slices.Concat(stranger, c.pairs)), "%s: %s, %s", name, c.name, whose)
			}
		}
		require.Equal(t, before, contents(t, s.DB), "%s: of a stranger nothing is believed", name)
	}
	t.Logf("%d vectors over each transport, and with %d kinds of strangers", len(cases), len(strangers))
}

// likers are the users who like anything.
func likers(t *testing.T, s *testkit.Service) []string {
	t.Helper()
	return testkit.One[[]string](t, s.DB, "SELECT array_agg(DISTINCT user_id::text) FROM profile.engagements")
}
