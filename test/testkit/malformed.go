package testkit

import "strings"

// MalformedDSNs are database URLs that nothing may try to use, each with secret as its password or a piece of it. Some
// parse: there the piece stands where a host or a database belongs.
func MalformedDSNs(secret string) []string {
	var dsns []string
	for _, dsn := range []string{
		"postgres://app:%zzSECRET@h/d", "postgres://app:SECRET@h:port/d", "postgres://app:SECRET@[::1/d", "://app:SECRET@h/d",
		"postgres://app:SECRET@h/d?sslmode=SECRET", "postgres://app:SECRET@h/d?connect_timeout=x", "postgres://app:SECRET@h:99999999/d",
		"host=h password='SECRET", "password=SECRET port=x", "host=h password=SECRET sslmode=nope", "password=SECRET connect_timeout=-5x", "=SECRET", "SECRET",
		"postgres://app:SECRET@h/d?target_session_attrs=x", "postgres://app:SECRET@h/d?min_protocol_version=9", "postgres://app:SECRET@h,h2:x/d",
		"postgres://app:SECRET@h/d?sslrootcert=/no/SECRET", "postgres://app:SECRET@h/d?sslcert=/no/SECRET&sslkey=/no/SECRET",
		"postgres://app:SECRET@h/d?sslkey=SECRET", "postgres://app:half@SECRET@h/d", "postgres://app:12/SECRET@h/d", "postgres://app:half/SECRET@h/d",
		"postgres://app:SECRET/half@h/d", "mysql://app:SECRET@h/d", "postgres:/app:SECRET@h/d", "host=h password=half SECRET",
	} {
		dsns = append(dsns, strings.ReplaceAll(dsn, "SECRET", secret))
	}
	return dsns
}

// MalformedRedisURLs are the same for Redis.
func MalformedRedisURLs(secret string) []string {
	var urls []string
	for _, url := range []string{
		"redis://:%zzSECRET@h", "redis://:SECRET@h:port", "redis://:SECRET@[::1", "://:SECRET@h", "http://:SECRET@h", "SECRET", "redis://:SECRET@h/db",
		"redis://:SECRET@h/0/1", "redis://:SECRET@h?db=x", "redis://:SECRET@h?SECRET=1", "redis://:12/SECRET@h", "redis://:SECRET@h?dial_timeout=SECRET",
		"unix://:SECRET@", "redis://:SECRET@h\x7f",
	} {
		urls = append(urls, strings.ReplaceAll(url, "SECRET", secret))
	}
	return urls
}
