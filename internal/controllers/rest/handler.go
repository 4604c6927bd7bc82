package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/klauspost/compress/gzhttp"
	"github.com/rs/cors"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/dto"
	"github.com/lingo-services/profile/internal/models"
)

// Options of the handler.
type Options struct {
	// MaxBodyBytes is the greatest body; a longer one is 413.
	MaxBodyBytes int64
	// Origins are those of other sites whose pages may call, such as https://app.example.org; none by default.
	Origins []string
}

// Observer counts requests that HTTP itself refused, before there was a call: no path, no method, too long.
type Observer interface{ HTTPRefused(status int) }

// New serves the routes of the contract by handler, which is only reached through call.
func New(handler profilev1.ProfileServiceServer, call Call, log *slog.Logger, observer Observer, opts Options) (http.Handler, error) {
	// This option is not of a mux but of the process, and is read without a lock.
	parseQueries.Do(func() { runtime.NewServeMux(runtime.SetQueryParameterParser(query{})) })
	e := &edge{routes: Routes(), log: log, observer: observer, opts: opts}
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newCodec()),
		runtime.WithIncomingHeaderMatcher(incomingHeader),
		runtime.WithOutgoingHeaderMatcher(outgoingHeader),
		runtime.WithOutgoingTrailerMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithErrorHandler(e.failed),
		runtime.WithRoutingErrorHandler(e.misrouted),
		runtime.WithForwardResponseOption(answered),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithDisablePathLengthFallback(),
	)
	if err := profilev1.RegisterProfileServiceHandlerServer(context.Background(), mux, service{handler: handler, call: call}); err != nil {
		return nil, fmt.Errorf("register routes: %w", err)
	}
	compressed, err := gzhttp.NewWrapper()
	if err != nil {
		return nil, fmt.Errorf("prepare compression: %w", err)
	}
	return e.guarded(compressed(e.crossOrigin(e.checked(mux)))), nil
}

var parseQueries sync.Once

type edge struct {
	routes   []Route
	log      *slog.Logger
	observer Observer
	opts     Options
}

// guarded sets what every answer has, and turns a panic into a problem.
func (e *edge) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer e.recovered(w, r)
		id := r.Header.Get(headerRequestID)
		if !dto.IsKey(id) {
			id = uuid.NewString()
		}
		r.Header.Set(headerRequestID, id)
		w.Header().Set(headerRequestID, id)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		r.Header.Del("Grpc-Timeout") // grpc-gateway would obey it
		next.ServeHTTP(w, r)
	})
}

// recovered is deferred.
func (e *edge) recovered(w http.ResponseWriter, r *http.Request) {
	if recover() == nil {
		return
	}
	// The panic's value may hold request data; its place is enough.
	e.log.ErrorContext(r.Context(), "panic", "stack", string(debug.Stack()))
	problem, _ := problemOf(models.ErrInternal, same)
	problem.write(w, r)
}

// crossOrigin lets pages of the allowed origins call.
func (e *edge) crossOrigin(next http.Handler) http.Handler {
	if len(e.opts.Origins) == 0 {
		return next
	}
	allowed := []string{"Content-Type"}
	for name := range incoming {
		allowed = append(allowed, name)
	}
	return cors.New(cors.Options{
		AllowedOrigins: e.opts.Origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowedHeaders: allowed,
		ExposedHeaders: []string{"ETag", "Idempotency-Replayed", "RateLimit", "RateLimit-Policy", "Retry-After", headerRequestID},
		MaxAge:         600,
	}).Handler(next)
}

// unrouted answers a path that there is none of, or one that knows other verbs.
func (e *edge) unrouted(w http.ResponseWriter, r *http.Request, verbs []string) {
	if len(verbs) == 0 {
		e.refuse(w, r, http.StatusNotFound, "")
		return
	}
	w.Header().Set("Allow", strings.Join(verbs, ", "))
	e.refuse(w, r, http.StatusMethodNotAllowed, "")
}

// misrouted implements runtime.RoutingErrorHandlerFunc, should grpc-gateway not know a route that checked has found.
func (e *edge) misrouted(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	e.refuse(w, r, code, "")
}

// failed implements runtime.ErrorHandlerFunc.
func (e *edge) failed(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	var unreadable unreadableError
	if errors.As(err, &unreadable) {
		entry := models.ReasonInvalidArgument.Entry()
		Problem{
			Type: ProblemType(models.ReasonInvalidArgument), Title: entry.Title, Status: entry.HTTPStatus,
			Reason: string(models.ReasonInvalidArgument), Errors: unreadable.problems,
		}.write(w, r)
		return
	}
	var routing *runtime.HTTPStatusError
	if errors.As(err, &routing) {
		e.refuse(w, r, routing.HTTPStatus, "")
		return
	}
	if md, ok := runtime.ServerMetadataFromContext(ctx); ok {
		for key, values := range md.HeaderMD {
			if name, passes := outgoingHeader(key); passes {
				w.Header()[name] = values
			}
		}
	}
	problem, retryAfter := problemOf(err, e.fieldOf(r))
	if retryAfter > 0 {
		w.Header().Set("Retry-After", seconds(retryAfter))
	}
	problem.write(w, r)
}

// fieldOf turns the name of a field or header in gRPC into the one that the request has in REST: a patch is the
// resource itself.
func (e *edge) fieldOf(r *http.Request) func(string) string {
	prefix := ""
	if r.Method == http.MethodPatch {
		prefix = "profile."
		if strings.HasSuffix(r.URL.Path, "/preferences") {
			prefix = "preferences."
		}
	}
	return func(name string) string {
		if prefix != "" && name == "update_mask" {
			return ""
		}
		return headerOf(strings.TrimPrefix(name, prefix))
	}
}

func same(name string) string { return name }

// answered sets the status of successes that have no content, and lets caches keep what is the same for everybody.
func answered(ctx context.Context, w http.ResponseWriter, message proto.Message) error {
	code := http.StatusOK
	if method, _ := runtime.RPCMethod(ctx); public[method] {
		tag, err := contentTag(message)
		if err != nil {
			return err
		}
		w.Header().Set("Cache-Control", publicCaching)
		w.Header().Set("ETag", tag)
		asked, _ := metadata.FromIncomingContext(ctx)
		if models.ETagMatches(strings.Join(asked.Get("x-md-if-none-match"), ","), strings.TrimPrefix(tag, "W/")) {
			code = http.StatusNotModified
		}
	}
	switch m := message.(type) {
	case interface{ GetNotModified() bool }: // grpc-gateway wraps answers of which it sends a part
		if m.GetNotModified() {
			code = http.StatusNotModified
		}
	case *profilev1.MutateFavoriteResponse:
		if verbOf(ctx) == http.MethodDelete && !m.GetChanged() && m.GetReason() == profilev1.OutcomeReason_OUTCOME_REASON_UNSPECIFIED {
			code = http.StatusNoContent
		}
	}
	if code != http.StatusOK {
		w.Header().Del("Content-Type")
		w.Header().Set(gzhttp.HeaderNoCompression, "nothing to compress")
		w.WriteHeader(code)
	}
	return nil
}
