package client_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/client"
)

func absent() *wrapperspb.Int64Value { return wrapperspb.Int64(0) }

// offline answers every attempt of every method with err.
func offline(t testing.TB, err error) (*client.Client, *journal) {
	t.Helper()
	calls := &journal{answer: func(int, func() error) error { return err }}
	return connect(t, "passthrough:///nowhere", calls.option()), calls
}

// A method that is new is either a read by its name or has an idempotency key.
func TestEveryMethodIsSafeToRepeat(t *testing.T) {
	t.Parallel()
	methods := profilev1.File_profile_v1_profile_proto.Services().ByName("ProfileService").Methods()
	for i := range methods.Len() {
		method := methods.Get(i)
		t.Run(string(method.Name()), func(t *testing.T) {
			t.Parallel()
			kind, err := protoregistry.GlobalTypes.FindMessageByName(method.Input().FullName())
			require.NoError(t, err)
			req := kind.New().Interface()
			calls := &journal{answer: func(number int, _ func() error) error {
				if number == 1 {
					return status.Error(codes.Unavailable, "gone")
				}
				return nil
			}}
			c := connect(t, "passthrough:///nowhere", calls.option())

			require.NoError(t, invoke(t, c, string(method.Name()), req))

			require.Len(t, calls.attempts, 2)
			require.True(t, proto.Equal(kind.New().Interface(), req), "the caller's message stays as it is")
			keyed := method.Input().Fields().ByName("idempotency_key") != nil
			require.Equal(t, keyed, slices.Contains(writes, method.Name()))
			if keyed {
				keys := calls.keys()
				require.Regexp(t, `^[!-~]{16,128}$`, keys[0])
				require.Equal(t, keys[0], keys[1])
			}
		})
	}
}

// writes are the methods that change something.
var writes = []protoreflect.Name{"UpdateProfile", "UpdatePreferences", "MutateFavorite", "UpsertWatchProgress", "PurgeUserData"}

func TestEveryCallHasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	c, calls := offline(t, nil)
	req := like()
	for range 3 {
		_, err := c.MutateFavorite(t.Context(), req)
		require.NoError(t, err)
	}
	keys := calls.keys()
	slices.Sort(keys)
	require.Len(t, slices.Compact(keys), 3)
}

func TestTheCallersKeyStays(t *testing.T) {
	t.Parallel()
	c, calls := offline(t, nil)
	req := like()
	req.IdempotencyKey = "mine"
	_, err := c.MutateFavorite(t.Context(), req)
	require.NoError(t, err)
	_, err = c.MutateFavorite(metadata.AppendToOutgoingContext(t.Context(), "x-md-idempotency-key", "mine"), like())
	require.NoError(t, err)
	require.Equal(t, []string{"mine", ""}, calls.keys(), "a key in the metadata must not meet another one")
}

func TestANilRequestIsAnEmptyOne(t *testing.T) {
	t.Parallel()
	c, calls := offline(t, nil)
	_, err := c.UpdateProfile(t.Context(), nil)
	require.NoError(t, err)
	require.NotEmpty(t, calls.keys()[0])
}
