package config

import (
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
)

var errRedisURL = errors.New("not a valid redis://, rediss:// or unix:// URL (percent-encode special characters of the password)")

// checkURLs reports what its driver cannot parse, without the driver's own words, which may repeat a password.
func checkURLs(conf *confpb.Bootstrap) (problems []error) {
	for key, dsn := range map[string]string{
		"data.postgres.url":           conf.GetData().GetPostgres().GetUrl(),
		"messaging.outbox.listen_url": conf.GetMessaging().GetOutbox().GetListenUrl(),
	} {
		if dsn == "" {
			continue
		}
		if _, err := postgres.ParseDSN(dsn); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", key, err))
		}
	}
	for key, text := range map[string]string{"cache.redis_url": conf.GetCache().GetRedisUrl(), "limits.redis_url": conf.GetLimits().GetRedisUrl()} {
		if text == "" {
			continue
		}
		if _, err := redis.ParseURL(text); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", key, errRedisURL))
		}
	}
	return problems
}
