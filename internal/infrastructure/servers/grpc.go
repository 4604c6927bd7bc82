// Package servers runs the service's listeners: gRPC and REST for callers, and an admin listener for health and
// metrics that is never public.
package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	kgrpc "github.com/go-kratos/kratos/v2/transport/grpc"
	"github.com/google/wire"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
)

// ProviderSet provides the API server: listeners, servers and the app.
var ProviderSet = wire.NewSet(NewSecure, Listen, NewGRPC, NewREST, NewAdmin, NewApp, health.NewServer)

// TaskProviderSet provides the app around a Task.
var TaskProviderSet = wire.NewSet(ListenAdmin, NewAdmin, NewTaskApp, health.NewServer)

// Limits of one connection (trust.md T13). Connections end now and then, so that callers find new instances.
const (
	maxConcurrentStreams = 100
	maxHeaderBytes       = 32 << 10
	leastPing            = 30 * time.Second
	connectionIdle       = 15 * time.Minute
	connectionAge        = 30 * time.Minute
	connectionGrace      = 30 * time.Second
	streamWorkers        = 256
)

// Listeners are the open sockets of the process. GRPC and HTTP are nil in a task.
type Listeners struct{ GRPC, HTTP, Admin net.Listener }

// addr is where the process is reached: the admin listener in a task.
func (l Listeners) addr() string {
	if l.GRPC == nil {
		return l.Admin.Addr().String()
	}
	return l.GRPC.Addr().String()
}

func (l Listeners) close() {
	for _, listener := range []net.Listener{l.GRPC, l.HTTP, l.Admin} {
		if listener != nil {
			_ = listener.Close()
		}
	}
}

// Listen opens every configured address, so that a taken port is one clear error before anything starts.
// closeAll is safe after the servers closed them.
func Listen(ctx context.Context, conf *confpb.Bootstrap, secure Secure) (l Listeners, closeAll func(), err error) {
	l.GRPC, err = listen(ctx, "grpc", conf.GetServer().GetGrpc().GetAddr())
	var httpErr, adminErr error
	l.HTTP, httpErr = listen(ctx, "http", conf.GetServer().GetHttp().GetAddr())
	l.Admin, adminErr = listen(ctx, "admin", conf.GetServer().GetAdmin().GetAddr())
	if err = errors.Join(err, httpErr, adminErr); err != nil {
		l.close()
		return Listeners{}, nil, err
	}
	l.GRPC, l.HTTP = secure(l.GRPC, "h2"), secure(l.HTTP, "h2", "http/1.1")
	return l, l.close, nil
}

// ListenAdmin is Listen of a task, which has an admin listener only.
func ListenAdmin(ctx context.Context, conf *confpb.Bootstrap) (l Listeners, closeAll func(), err error) {
	if l.Admin, err = listen(ctx, "admin", conf.GetServer().GetAdmin().GetAddr()); err != nil {
		return Listeners{}, nil, err
	}
	return l, l.close, nil
}

func listen(ctx context.Context, name, addr string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", name, err)
	}
	return listener, nil
}

// NewGRPC serves ProfileService and health. Kratos' own timeout is off: BaseHandler sets deadlines.
func NewGRPC(conf *confpb.Bootstrap, l Listeners, metrics *observability.Metrics, base *controllers.BaseHandler, handler *controllers.ProfileHandler, probe *health.Server) *kgrpc.Server {
	around := received(base.Intercept)
	opts := []kgrpc.ServerOption{
		kgrpc.Listener(l.GRPC),
		kgrpc.Timeout(0),
		kgrpc.CustomHealth(),
		kgrpc.UnaryInterceptor(around),
		kgrpc.Options(append(
			guard{time.Now, metrics.ConnectionClosed, base.Arrive}.options(),
			grpc.MaxRecvMsgSize(int(conf.GetServer().GetMaxRequestBytes())),
			grpc.MaxConcurrentStreams(maxConcurrentStreams),
			grpc.MaxHeaderListSize(maxHeaderBytes),
			grpc.ConnectionTimeout(readHeaderTimeout), // of handshakes
			// A new goroutine for each call grows its stack anew each time.
			grpc.NumStreamWorkers(streamWorkers),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: leastPing, PermitWithoutStream: true}),
			grpc.KeepaliveParams(keepalive.ServerParameters{
				MaxConnectionIdle: connectionIdle, MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: connectionGrace,
			}),
			grpc.ForceServerCodecV2(controllers.Codec()),
		)...),
	}
	if !conf.GetServer().GetReflection() {
		opts = append(opts, kgrpc.DisableReflection())
	}
	server := kgrpc.NewServer(opts...)
	desc := controllers.ServiceDesc(around)
	server.RegisterService(&desc, handler)
	grpc_health_v1.RegisterHealthServer(server, probe)
	probe.SetServingStatus(profilev1.ProfileService_ServiceDesc.ServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
	return server
}
