package ratelimit

import (
	"time"

	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/controllers/limits"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/redislink"
)

// ProviderSet provides the configured limiter.
var ProviderSet = wire.NewSet(New)

// New is the configured limiter. The caller calls stop. Errors: ErrRedisURL.
func New(conf *confpb.Bootstrap) (limiter limits.Limiter, stop func(), err error) {
	c := conf.GetLimits()
	memory := NewMemory(int(c.GetSize()), time.Now)
	switch c.GetBackend() {
	case "off":
		return Off{}, func() {}, nil
	case redislink.Name:
		url := c.GetRedisUrl()
		if url == "" {
			url = conf.GetCache().GetRedisUrl()
		}
		return NewRedis(redislink.Options{URL: url, Timeout: redislink.DefaultTimeout, Pause: redislink.DefaultPause, Now: time.Now}, memory)
	}
	return memory, func() {}, nil
}
