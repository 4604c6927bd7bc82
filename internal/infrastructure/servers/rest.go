package servers

import (
	"log/slog"
	"net/http"

	khttp "github.com/go-kratos/kratos/v2/transport/http"

	"github.com/lingo-services/profile/internal/controllers"
	"github.com/lingo-services/profile/internal/controllers/docs"
	"github.com/lingo-services/profile/internal/controllers/rest"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
)

// NewREST serves the HTTP listener by the interceptor and handler of the gRPC server. Kratos gives the server its
// place in the process' life; its router and codecs are not used: they answer what is not found from
// http.DefaultServeMux, have no bounds, and know no problems.
func NewREST(conf *confpb.Bootstrap, l Listeners, log *slog.Logger, metrics *observability.Metrics, base *controllers.BaseHandler, handler *controllers.ProfileHandler) (*khttp.Server, error) {
	routes, err := rest.New(handler, base.Call, log, metrics, rest.Options{
		MaxBodyBytes: int64(conf.GetServer().GetMaxRequestBytes()), Origins: conf.GetServer().GetCorsOrigins(),
	})
	if err != nil {
		return nil, err
	}
	if conf.GetServer().GetDocs() {
		if routes, err = docs.Handler(routes); err != nil {
			return nil, err
		}
	}
	server := khttp.NewServer(khttp.Listener(l.HTTP))
	server.Handler = routes
	server.ReadHeaderTimeout, server.ReadTimeout = readHeaderTimeout, readTimeout
	server.WriteTimeout, server.IdleTimeout = writeTimeout, idleTimeout
	server.MaxHeaderBytes = maxHeaderBytes
	server.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxConcurrentStreams}
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	return server, nil
}
