package servers_test

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/lingo-services/profile/test/testkit"
	"github.com/lingo-services/profile/test/testkit/crawl"
	"github.com/lingo-services/profile/test/testkit/pki"
)

// Every service whose contract is compiled in, the framework's and the libraries' too, is asked for.
func TestT15_TheGRPCListenerServesTheAPIAndNothingElse(t *testing.T) {
	t.Parallel()
	conn := dial(t, testkit.New(t, inProduction), insecure.NewCredentials())
	served, asked := map[string]bool{}, map[string]bool{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			name := string(service.FullName())
			asked[name] = true
			for j := range service.Methods().Len() {
				if answered(t, conn, service.Methods().Get(j)) {
					served[name] = true
				}
			}
		}
		return true
	})
	require.Equal(t, []string{"grpc.health.v1.Health", "profile.v1.ProfileService"}, slices.Sorted(maps.Keys(served)))
	for _, name := range []string{
		"grpc.channelz.v1.Channelz", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "kratos.api.Metadata",
	} {
		require.Contains(t, asked, name)
	}
}

// answered asks for a method by an empty message, and reports whether it is there.
func answered(t *testing.T, conn *grpc.ClientConn, m protoreflect.MethodDescriptor) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	path := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, path)
	require.NoError(t, err)
	_ = stream.SendMsg(&emptypb.Empty{}) // a refusal shows when receiving
	_ = stream.CloseSend()
	err = stream.RecvMsg(&emptypb.Empty{})
	require.NotEqual(t, codes.DeadlineExceeded, status.Code(err), path)
	return status.Code(err) != codes.Unimplemented
}

func TestT15_PublicPathsOfTheGRPCListenerAreNotServed(t *testing.T) {
	t.Parallel()
	paths := crawl.Paths()
	require.GreaterOrEqual(t, len(paths), 150)
	authority := pki.NewAuthority(t, "servers")
	inClear := testkit.New(t, inProduction)
	secured := testkit.New(t, inProduction, withTLS(t, t.TempDir(), authority.Issue(t), nil))
	dialer := new(net.Dialer)

	t.Run("HTTP/1.1", func(t *testing.T) {
		t.Parallel()
		for _, path := range paths {
			conn, err := dialer.DialContext(t.Context(), "tcp", address(inClear))
			require.NoError(t, err)
			require.NotContains(t, spoken(t, conn, path), "HTTP/1", path)
			conn, err = dialer.DialContext(t.Context(), "tcp", address(secured))
			require.NoError(t, err)
			require.NotContains(t, spoken(t, tls.Client(conn, overTLS(authority)), path), "HTTP/1", path)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		t.Parallel()
		transport := &http.Transport{TLSClientConfig: overTLS(authority), Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP2(true)
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		for _, path := range paths {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				require.Equal(t, http.StatusUnsupportedMediaType, answer(t, transport, method, "http://"+address(inClear)+path), path)
				require.Equal(t, http.StatusUnsupportedMediaType, answer(t, transport, method, "https://"+address(secured)+path), path)
			}
		}
	})
	t.Run("gRPC", func(t *testing.T) {
		t.Parallel()
		for _, s := range []struct {
			*testkit.Service
			credentials.TransportCredentials
		}{{inClear, insecure.NewCredentials()}, {secured, credentials.NewTLS(overTLS(authority))}} {
			conn := dial(t, s.Service, s.TransportCredentials)
			for _, path := range paths {
				err := conn.Invoke(t.Context(), path, &emptypb.Empty{}, &emptypb.Empty{})
				want := codes.Unimplemented
				if path == "/profile.v1.ProfileService/GetProfile" {
					want = codes.Unauthenticated
				}
				require.Equal(t, want, status.Code(err), path)
			}
		}
	})
}

// REST answers what is not a route of the API with a Problem, in clear and over TLS alike.
func TestT15_PublicPathsOfTheHTTPListenerAreNotServed(t *testing.T) {
	t.Parallel()
	authority, clients := pki.NewAuthority(t, "servers"), pki.NewAuthority(t, "clients")
	gateway := clients.Issue(t, pki.Client("gateway")).TLS(t)
	inClear := testkit.New(t, inProduction)
	secured := testkit.New(t, inProduction, withTLS(t, t.TempDir(), authority.Issue(t), clients))
	transport := &http.Transport{TLSClientConfig: overTLS(authority, gateway), Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(true)
	transport.Protocols.SetHTTP2(true)
	defer transport.CloseIdleConnections()
	for scheme, s := range map[string]*testkit.Service{"http": inClear, "https": secured} {
		base := scheme + "://" + s.App.Listeners.HTTP.Addr().String()
		for _, path := range crawl.Paths() {
			status := answer(t, transport, http.MethodGet, base+path)
			require.Contains(t, []int{http.StatusNotFound, http.StatusBadRequest}, status, path)
		}
		require.Equal(t, http.StatusUnauthorized, answer(t, transport, http.MethodGet, base+"/api/v1/user/me"), "the API is there")
	}
	_, err := tls.Dial("tcp", secured.App.Listeners.HTTP.Addr().String(), &tls.Config{RootCAs: authority.Pool(), ServerName: "localhost", MaxVersion: tls.VersionTLS12})
	require.ErrorContains(t, err, "remote error: tls", "mTLS holds for REST")
}

// spoken is all that the server says to a request of HTTP/1.1 until it hangs up.
func spoken(t *testing.T, conn net.Conn, path string) string {
	t.Helper()
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: profile\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	text, err := io.ReadAll(conn)
	if err != nil { // it may hang up on what it has not read
		require.ErrorIs(t, err, syscall.ECONNRESET, path)
	}
	return string(text)
}

// answer is the status of a request.
func answer(t *testing.T, transport http.RoundTripper, method, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	require.NoError(t, err)
	response, err := transport.RoundTrip(request)
	require.NoError(t, err, url)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err, url)
	require.NotContains(t, string(body), "go_goroutines", url)
	return response.StatusCode
}
