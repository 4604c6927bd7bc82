package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echoMethod answers with as many bytes as sizeHeader asks for: a message of the size that the service sends,
// through the same grpc-go, without anything behind it.
const (
	echoService = "bench.Echo"
	echoMethod  = "/" + echoService + "/Echo"
	sizeHeader  = "x-size"
)

// serveEcho is the echo server's process. It prints its address and runs until ctx ends.
func serveEcho(ctx context.Context, out io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: echoService, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: echo}},
	}, struct{}{})
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return err
	}
	return server.Serve(l)
}

func echo(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // context-as-argument: grpc.MethodDesc decides
	in := new(wrapperspb.StringValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	size, err := strconv.Atoi(first(metadata.ValueFromIncomingContext(ctx, sizeHeader)))
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "no size")
	}
	return wrapperspb.Bytes(bytes.Repeat([]byte{'x'}, size)), nil
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// taker answers every Publish itself, so that the broker keeps no messages in memory. Nobody subscribes.
type taker struct{}

// React implements pstest.Reactor.
func (taker) React(request any) (handled bool, response any, err error) {
	ids := make([]string, len(request.(*pubsubpb.PublishRequest).GetMessages()))
	for i := range ids {
		ids[i] = "m" + strconv.Itoa(i)
	}
	return true, &pubsubpb.PublishResponse{MessageIds: ids}, nil
}

// serveBroker is the broker's process: topics of the project, and everything published is taken.
func serveBroker(ctx context.Context, out io.Writer, topics ...string) (err error) {
	server := pstest.NewServer(pstest.ServerReactorOption{FuncName: "Publish", Reactor: taker{}})
	defer func() { err = errors.Join(err, server.Close()) }()
	conn, err := grpc.NewClient(server.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, topic := range topics {
		if _, err := pubsubpb.NewPublisherClient(conn).CreateTopic(ctx, &pubsubpb.Topic{Name: topic}); err != nil {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	if _, err := fmt.Fprintln(out, server.Addr); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
