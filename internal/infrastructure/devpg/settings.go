package devpg

import (
	"maps"
	"slices"
)

// settings are the server settings as sorted k=v: ours, then the caller's over them.
func (o Options) settings() []string {
	all := map[string]string{"shared_buffers": "128MB", "timezone": "UTC", "log_timezone": "UTC"}
	if o.Ephemeral {
		maps.Copy(all, map[string]string{
			"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200",
		})
	}
	maps.Copy(all, o.Settings)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}
