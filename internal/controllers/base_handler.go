// Package controllers serves ProfileService: it authenticates, resolves the subject, decodes, calls a
// service interface and encodes. Order of checks (S87): credentials, authorisation, validation, rate limits, then
// what services check in their transaction.
package controllers

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/admission"
	"github.com/lingo-services/profile/internal/controllers/dto"
	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/controllers/problem"
	"github.com/lingo-services/profile/internal/models"
)

// Timeouts are the deadlines of each budget; a caller's shorter deadline wins (S91).
type Timeouts struct{ Query, Command, Progress time.Duration }

func (t Timeouts) of(b Budget) time.Duration {
	switch b {
	case Query:
		return t.Query
	case Progress:
		return t.Progress
	case Command:
	}
	return t.Command
}

// RequestObserver counts answered calls.
type RequestObserver interface {
	RequestServed(method, code string, took time.Duration)
}

// BaseHandler is what every method needs before its handler runs.
type BaseHandler struct {
	auth     identity.Authenticator
	policies map[string]policy
	doors    *admission.Doors
	timeouts Timeouts
	enabled  Enabled
	refusals refusals
	lines    *lineBudget
	log      *slog.Logger
	observer RequestObserver
}

// Enabled is the switch of all ProfileService methods (M22).
type Enabled bool

// NewBaseHandler refuses to start when a method has no policy. enabled false answers UNIMPLEMENTED to every
// method (M22).
func NewBaseHandler(auth identity.Authenticator, doors *admission.Doors, timeouts Timeouts, enabled Enabled, lines CallLines, log *slog.Logger, observer RequestObserver) (*BaseHandler, error) {
	policies, err := policiesOf(profilev1.File_profile_v1_profile_proto.Services().ByName("ProfileService"))
	if err != nil {
		return nil, err
	}
	return &BaseHandler{auth, policies, doors, timeouts, enabled, newRefusals(), &lineBudget{most: int64(lines)}, log, observer}, nil
}

// Arrive refuses a call where it comes in, over gRPC before it has a goroutine, while processors have more to do than they can.
func (b *BaseHandler) Arrive(ctx context.Context, call *tap.Info) (context.Context, error) {
	return ctx, b.arrive(call.FullMethodName, 1)
}

// ownGoroutine: a connection of REST has a goroutine of its own, which is one of those that wait whenever it is busy, where
// one goroutine of gRPC's reads a hundred calls. So it takes this many times more of them to be too many.
const ownGoroutine = 4

func (b *BaseHandler) arrive(method string, times int) error {
	if policy, ours := b.policies[method]; ours && !b.doors.Arrive(policy.slots, times) {
		return b.refusals[rand.N(len(b.refusals))] //nolint:gosec // spreading needs no secrecy
	}
	return nil
}

// refusals are answers to calls that are refused where they come in, each with a time of its own to come back. They are
// made once: to make one was an eighth of what a refusal cost.
type refusals [64]error

func newRefusals() (list refusals) {
	for i := range list {
		list[i] = problem.Status(admission.Refusal()).Err()
	}
	return list
}

// Intercept wraps every unary call of the server. ProfileService gets its error mapping, log line, deadline
// and subject here; health passes through; what else the framework registers (channelz, its metadata) is
// not served.
func (b *BaseHandler) Intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	policy, ours := b.policies[info.FullMethod]
	switch {
	case info.FullMethod == grpc_health_v1.Health_Check_FullMethodName, info.FullMethod == grpc_health_v1.Health_List_FullMethodName:
		return handler(ctx, req)
	case !ours:
		return nil, problem.Status(models.ErrMethodNotAvailable).Err()
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, b.timeouts.of(policy.budget))
	defer cancel()
	subject, caller, resp, err := b.serve(ctx, req, policy, handler)
	if err == nil {
		b.report(ctx, served{info.FullMethod, req, caller, subject, nil, codes.OK, time.Since(start)})
		return resp, nil
	}
	known := problem.From(err)
	answer := problem.Status(known)
	b.report(ctx, served{info.FullMethod, req, caller, subject, known, answer.Code(), time.Since(start)})
	return nil, answer.Err()
}

// Call implements rest.Call: what stands before a method that is called over gRPC.
func (b *BaseHandler) Call(ctx context.Context, method string, request proto.Message, unreadable error, handler grpc.UnaryHandler) (any, error) {
	if err := b.arrive(method, ownGoroutine); err != nil {
		return nil, err
	}
	if unreadable != nil {
		ctx = context.WithValue(ctx, malformedKey{}, unreadable)
	}
	return b.Intercept(ctx, request, &grpc.UnaryServerInfo{FullMethod: method}, handler)
}

func (b *BaseHandler) serve(ctx context.Context, req any, policy policy, handler grpc.UnaryHandler) (
	subject identity.Subject, caller identity.Caller, resp any, err error,
) {
	defer func() {
		if recovered := recover(); recovered != nil {
			// The panic's value may hold request data; its place is enough.
			b.log.ErrorContext(ctx, "panic", "stack", string(debug.Stack()))
			resp, err = nil, models.ErrInternal
		}
	}()
	if !b.enabled {
		return subject, caller, nil, models.ErrMethodNotAvailable
	}
	md, _ := metadata.FromIncomingContext(ctx)
	if subject, caller, err = b.admit(ctx, md, req, policy.access); err != nil {
		return subject, caller, nil, err
	}
	leave, err := b.doors.Enter(ctx, policy.slots, subject.Share())
	if err != nil {
		return subject, caller, nil, err
	}
	defer leave()
	if err := malformed(ctx); err != nil {
		return subject, caller, nil, models.ErrInvalidArgument.With(models.Violation{Description: "is not a valid message"}).Because(err)
	}
	resp, err = handler(withHeaders(identity.WithSubject(traced(ctx, md), subject), md), req)
	return subject, caller, resp, err
}

// admit says who calls, and for whom.
func (b *BaseHandler) admit(ctx context.Context, md metadata.MD, req any, access identity.Access) (subject identity.Subject, caller identity.Caller, err error) {
	if access.Anyone {
		return identity.Subject{Actor: models.ServiceActor}, identity.Caller{}, nil
	}
	if caller, err = b.auth.Authenticate(ctx, md); err != nil {
		return subject, caller, err
	}
	if r, names := req.(interface{ GetUserId() string }); names {
		subject, err = caller.Resolve(access, r.GetUserId())
	} else {
		subject, err = caller.ResolveNobody(access)
	}
	return subject, caller, err
}

// Metadata keys (api.md section 7).
const (
	keyRequestID   = "x-request-id"
	keyIdempotency = "x-md-idempotency-key"
	keyIfMatch     = "x-md-if-match"
	keyIfNoneMatch = "x-md-if-none-match"
	keyClientTime  = "x-md-client-time"
	keyConsistency = "x-md-consistency"
	keyETag        = "etag"
	keyReplayed    = "idempotency-replayed"
)

type headersKey struct{}

// withHeaders keeps a call's metadata for headers: gRPC copies all of it for whoever asks.
func withHeaders(ctx context.Context, md metadata.MD) context.Context {
	return context.WithValue(ctx, headersKey{}, md)
}

// headers reads the metadata that changes what a call means. A repeated header of conditions continues its list.
func headers(ctx context.Context) dto.Headers {
	md, _ := ctx.Value(headersKey{}).(metadata.MD)
	list := func(key string) string { return strings.Join(md[key], ",") }
	var repeated []string
	single := func(key string) string {
		if len(md[key]) > 1 {
			repeated = append(repeated, key)
		}
		return list(key)
	}
	h := dto.Headers{
		IdempotencyKey: single(keyIdempotency), IfMatch: list(keyIfMatch), IfNoneMatch: list(keyIfNoneMatch), ClientTime: single(keyClientTime),
		Consistency: single(keyConsistency),
	}
	h.Repeated = repeated
	h.NoTag = len(md[keyIfMatch]) > 0 && strings.Trim(h.IfMatch, " \t,") == ""
	return h
}

type malformedKey struct{}

func malformed(ctx context.Context) error {
	err, _ := ctx.Value(malformedKey{}).(error)
	return err
}

// undecoded takes the bytes of a request as they are.
type undecoded struct{ wire []byte }

type codec struct{ encoding.CodecV2 }

// Codec is gRPC's protobuf codec that can also leave a request undecoded. The server that serves ServiceDesc
// needs it: when a codec fails, gRPC answers INTERNAL by itself, whatever the handler returns.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(grpcproto.Name)} }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if request, ok := v.(*undecoded); ok {
		request.wire = data.Materialize()
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// ServiceDesc is ProfileService whose undecodable messages are INVALID_ARGUMENT after authentication. Its methods run
// within around, and within no interceptor of the server: Kratos' own would merge each call's context with that of the
// process, by two goroutines a call, for middleware that there is none of.
func ServiceDesc(around grpc.UnaryServerInterceptor) grpc.ServiceDesc {
	desc := profilev1.ProfileService_ServiceDesc
	methods := make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		generated := m.Handler
		m.Handler = func(srv any, ctx context.Context, receive func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var undecodable error
			decode := func(message any) error {
				var request undecoded
				if err := receive(&request); err != nil {
					return err // too large, or the stream broke: gRPC has answered
				}
				undecodable = proto.Unmarshal(request.wire, message.(proto.Message))
				return nil
			}
			marking := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				if undecodable != nil {
					ctx = context.WithValue(ctx, malformedKey{}, undecodable)
				}
				return around(ctx, req, info, handler)
			}
			return generated(srv, ctx, decode, marking)
		}
		methods[i] = m
	}
	desc.Methods = methods
	return desc
}
