package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"

	videov1 "github.com/lingo-services/profile/internal/clients/catalog/video/v1"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
)

// readCatalogFile returns the events of a CSV file or of JSON lines, either of them plain or gzip.
func readCatalogFile(path string) ([]*videov1.Event, error) {
	file, err := os.Open(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	events, err := readCatalog(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return events, nil
}

func readCatalog(r io.Reader) ([]*videov1.Event, error) {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = bufio.NewReader(unpacked)
	}
	if first, _ := in.Peek(1); string(first) == "{" {
		return readEventLines(in)
	}
	return readVideoRows(in)
}

func readEventLines(r io.Reader) (events []*videov1.Event, err error) {
	const longest = 10 << 20 // what Pub/Sub takes
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longest)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		e := &videov1.Event{}
		if err := protojson.Unmarshal(lines.Bytes(), e); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		events = append(events, e)
	}
	return events, lines.Err()
}

func readVideoRows(r io.Reader) (events []*videov1.Event, err error) {
	rows := csv.NewReader(r)
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	column := map[string]int{}
	for i, name := range header {
		column[name] = i
	}
	for _, name := range []string{"video_id", "title", "publish_time", "thumbnail_link", "description"} {
		if _, ok := column[name]; !ok {
			return nil, fmt.Errorf("header: no column %s", name)
		}
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		events = append(events, videoEvents(func(name string) string { return row[column[name]] })...)
	}
}

// videoEvents are what a catalog says of a video that was uploaded and then published.
func videoEvents(field func(name string) string) []*videov1.Event {
	id := devstack.VideoUUID(field("video_id")).String()
	published, now := field("publish_time"), time.Now().UTC().Format(time.RFC3339Nano)
	description := strings.ReplaceAll(field("description"), `\n`, "\n") // how the data set writes line breaks
	event := func(kind videov1.EventType, version int64) *videov1.Event {
		return &videov1.Event{
			EventId:   uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "catalog event %s %d", id, version)).String(),
			EventType: kind, AggregateId: id, AggregateType: "video", Version: version, OccurredAt: now,
		}
	}
	created := event(videov1.EventType_EVENT_TYPE_VIDEO_CREATED, 1)
	created.Payload = &videov1.Event_Created{Created: &videov1.VideoCreated{
		VideoId: id, Title: field("title"), Description: &description, DurationMicros: new(devstack.VideoDuration(field("video_id")).Microseconds()),
		PublishedAt: &published, Version: 1, OccurredAt: now, Status: "processing",
	}}
	updated := event(videov1.EventType_EVENT_TYPE_VIDEO_UPDATED, 2)
	updated.Payload = &videov1.Event_Updated{Updated: &videov1.VideoUpdated{
		VideoId: id, Version: 2, OccurredAt: now, Status: new("published"), ThumbnailUrl: new(field("thumbnail_link")),
		VisibilityStatus: new("public"),
	}}
	return []*videov1.Event{created, updated}
}
