package servers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"

	khttp "github.com/go-kratos/kratos/v2/transport/http"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/lingo-services/profile/internal/controllers"
	"github.com/lingo-services/profile/internal/controllers/docs"
	"github.com/lingo-services/profile/internal/controllers/rest"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
)

// REST serves the HTTP listener. It calls ProfileService in this process, over gRPC in memory, so that what guards
// one guards both.
type REST struct {
	*khttp.Server
	calls *grpc.Server
	pipe  *bufconn.Listener
	conn  *grpc.ClientConn
}

// pipeBytes is the buffer of a connection in memory.
const pipeBytes = 256 << 10

// NewREST uses the interceptor and handler of the gRPC server. closeConn is safe after Stop. Kratos gives the server its
// place in the process' life; its router and codecs are not used: they answer what is not found from
// http.DefaultServeMux, have no bounds, and know no problems.
func NewREST(ctx context.Context, conf *confpb.Bootstrap, l Listeners, log *slog.Logger, metrics *observability.Metrics, base *controllers.BaseHandler, handler *controllers.ProfileHandler) (server *REST, closeConn func(), err error) {
	pipe := bufconn.Listen(pipeBytes)
	conn, err := grpc.NewClient("passthrough:///in-memory", rest.Interceptor(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("connect REST: %w", err)
	}
	routes, err := rest.New(ctx, conn, log, metrics, rest.Options{
		MaxBodyBytes: int64(conf.GetServer().GetMaxRequestBytes()), Origins: conf.GetServer().GetCorsOrigins(),
	})
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	if conf.GetServer().GetDocs() {
		if routes, err = docs.Handler(routes); err != nil {
			return nil, nil, errors.Join(err, conn.Close())
		}
	}
	// HTTP has bounded the request; JSON may be shorter than the message.
	calls := grpc.NewServer(grpc.ForceServerCodecV2(controllers.Codec()),
		grpc.MaxRecvMsgSize(math.MaxInt32), grpc.NumStreamWorkers(streamWorkers), grpc.InTapHandle(base.Arrive))
	desc := controllers.ServiceDesc(base.Intercept)
	calls.RegisterService(&desc, handler)
	server = &REST{khttp.NewServer(khttp.Listener(l.HTTP)), calls, pipe, conn}
	server.Handler = routes
	server.ReadHeaderTimeout, server.ReadTimeout = readHeaderTimeout, readTimeout
	server.WriteTimeout, server.IdleTimeout = writeTimeout, idleTimeout
	server.MaxHeaderBytes = maxHeaderBytes
	server.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxConcurrentStreams}
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	return server, func() { _ = conn.Close() }, nil
}

// Start implements transport.Server.
func (s *REST) Start(ctx context.Context) error {
	var running errgroup.Group
	running.Go(func() error { return s.calls.Serve(s.pipe) })
	running.Go(func() error {
		err := s.Server.Start(ctx)
		if err != nil {
			s.calls.Stop()
		}
		return err
	})
	if err := running.Wait(); err != nil {
		return fmt.Errorf("serve REST: %w", err)
	}
	return nil
}

// Stop implements transport.Server: the calls of running requests are the last to go.
func (s *REST) Stop(ctx context.Context) error {
	defer s.calls.Stop()
	return s.Server.Stop(ctx)
}
