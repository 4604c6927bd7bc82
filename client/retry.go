package client

import (
	"context"
	"crypto/rand"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	defaultRetries = 4
	firstPause     = 100 * time.Millisecond
	longestPause   = 5 * time.Second
	// longestWait is what RetryInfo may ask for; a caller would not expect a call to sleep longer.
	longestWait = 30 * time.Second

	keyField  = "idempotency_key"
	keyHeader = "x-md-idempotency-key"
)

// reads are the prefixes of methods that change nothing.
var reads = []string{"Get", "List", "BatchGet", "BatchQuery"}

// retrier repeats calls. gRPC's own retry policy knows codes only: it would also repeat a VERSION_CONFLICT, and does
// not read RetryInfo.
type retrier struct{ most int }

func (r retrier) intercept(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	request, keyed := withKey(ctx, req.(proto.Message))
	safe := keyed || isRead(method)
	pauses := gax.Backoff{Initial: firstPause, Max: longestPause}
	for attempt := 0; ; attempt++ {
		err := call(ctx, method, request, reply, conn, opts...)
		if err == nil {
			return nil
		}
		failure, asked := newError(err)
		wait := failure.RetryAfter + pauses.Pause()
		if !safe || attempt >= r.most || failure.RetryAfter > longestWait || !transient(status.Code(err), asked) || !fits(ctx, wait) {
			return failure
		}
		if err := gax.Sleep(ctx, wait); err != nil {
			given, _ := newError(status.FromContextError(err).Err())
			return given
		}
	}
}

// transient is whether the same call may succeed later. Nobody but a broken connection or a proxy says UNAVAILABLE
// without RetryInfo, and the deadline of the caller has none.
func transient(code codes.Code, asked bool) bool {
	switch code {
	case codes.Unavailable:
		return true
	case codes.Aborted, codes.ResourceExhausted, codes.DeadlineExceeded:
		return asked
	default:
		return false
	}
}

func fits(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > wait
}

func isRead(method string) bool {
	name := path.Base(method)
	return slices.ContainsFunc(reads, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// withKey gives a request that can have an idempotency key one, unless it or the metadata of the call has it; keyed
// is whether there is one now. The caller's message stays as it is.
func withKey(ctx context.Context, req proto.Message) (with proto.Message, keyed bool) {
	original := req.ProtoReflect()
	field := original.Descriptor().Fields().ByName(keyField)
	if field == nil {
		return req, false
	}
	sent, _ := metadata.FromOutgoingContext(ctx)
	if original.Has(field) || len(sent.Get(keyHeader)) > 0 {
		return req, true
	}
	changed := original.New()
	proto.Merge(changed.Interface(), req)
	changed.Set(field, protoreflect.ValueOfString(rand.Text()))
	return changed.Interface(), true
}
