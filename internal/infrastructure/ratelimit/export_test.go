package ratelimit

// ClockFrom lets Redis tell the time that is kept under key, as fields s and us.
func (r *Redis) ClockFrom(key string) {
	r.take = takeScript("redis.call('HMGET', '" + key + "', 's', 'us')")
}
