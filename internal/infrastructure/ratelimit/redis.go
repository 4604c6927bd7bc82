package ratelimit

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/lingo-services/profile/internal/controllers/limits"
	"github.com/lingo-services/profile/internal/infrastructure/redislink"
)

// ErrRedisURL says that the URL cannot be used; the URL may hold a password and is not repeated.
var ErrRedisURL = errors.New("limits.redis_url, or cache.redis_url in its place, is not a valid redis URL")

// Redis is a Limiter that instances share, by the clock of Redis (6 or later) alone. While Redis does not answer, floor decides for
// this instance.
type Redis struct {
	link  *redislink.Link
	floor *Memory
	take  *redis.Script
}

// NewRedis connects when it is first used. The caller calls stop. Errors: ErrRedisURL.
func NewRedis(opts redislink.Options, floor *Memory) (r *Redis, stop func(), err error) {
	link, err := redislink.Open(opts)
	if err != nil {
		return nil, nil, ErrRedisURL
	}
	return &Redis{link: link, floor: floor, take: takeScript(redisClock)}, link.Close, nil
}

// redisClock is how a script asks for the time: seconds since 1970 and microseconds.
const redisClock = "redis.call('TIME')"

// takeScript is meter for the rules of KEYS: ARGV[1] is the cost, then come interval, burst and window of each. It
// answers whether the call is admitted, the time, and what is used of each rule now. Keys outlive their use by a minute,
// for clocks that are set back.
func takeScript(clock string) *redis.Script {
	return redis.NewScript(`
local time = ` + clock + `
local now = time[1] * 1000000 + time[2]
local cost, admitted, answer, ends = tonumber(ARGV[1]), 1, {}, {}
for i, key in ipairs(KEYS) do
  local interval, burst, window = tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i]), tonumber(ARGV[3*i+1])
  local origin = window > 0 and now - now % window or now
  local used = tonumber(string.match(redis.call('GET', key) or '', '^%d+$')) or origin
  if used > origin + burst then
    used = origin + burst
    redis.call('SET', key, string.format('%.0f', used), 'KEEPTTL')
  end
  used = math.max(used, origin)
  answer[i+2] = used
  if used + cost * interval > origin + burst then
    admitted = 0
  end
  ends[i] = window > 0 and origin + window or used + cost * interval
end
if admitted == 1 then
  for i, key in ipairs(KEYS) do
    local used = answer[i+2] + cost * tonumber(ARGV[3*i-1])
    redis.call('SET', key, string.format('%.0f', used), 'PX', math.ceil((ends[i] - now) / 1000) + 60000)
    answer[i+2] = used
  end
end
answer[1], answer[2] = admitted, now
return answer`)
}

// Take implements limits.Limiter.
func (r *Redis) Take(ctx context.Context, caller string, rules []limits.Rule, cost int64) limits.Decision {
	if states, answered := r.shared(ctx, caller, rules, cost); answered {
		return limits.Decision{States: states}
	}
	decision := r.floor.Take(ctx, caller, rules, cost)
	decision.Local = true
	return decision
}

func (r *Redis) shared(ctx context.Context, caller string, rules []limits.Rule, cost int64) (states []limits.State, answered bool) {
	if !r.link.Usable() {
		return nil, false
	}
	keys, args := make([]string, len(rules)), make([]any, 1, 1+3*len(rules))
	args[0] = cost
	for i, rule := range rules {
		m := newMeter(rule)
		keys[i] = redisKey(caller, rule.Name)
		args = append(args, m.interval, m.burst, m.window)
	}
	const head = 2
	answer, err := r.take.Run(ctx, r.link.Client, keys, args...).Int64Slice()
	if r.link.Settle(ctx, err) != redislink.Answered || len(answer) != head+len(rules) {
		return nil, false
	}
	admitted, now := answer[0] == 1, answer[1]
	states = make([]limits.State, len(rules))
	for i, rule := range rules {
		m, used, wait := newMeter(rule), answer[head+i], int64(0)
		if !admitted {
			wait = m.wait(now, used, cost)
		}
		states[i] = m.state(now, used, wait)
	}
	return states, true
}

// redisKey is profile:limit:{caller}:rule; the braces keep a caller's keys together in a cluster.
func redisKey(caller, rule string) string {
	return "profile:limit:{" + caller + "}:" + rule
}
