import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { pack, unpack } from 'msgpackr';
import type { Contender, Message } from '../contender.js';
import { blobOf } from './service.js';

/** The same encoding for all: what is compared is the way, not protobuf with msgpack. */
const method = (path: string) => ({
  path,
  requestStream: false,
  responseStream: false,
  requestSerialize: (value: unknown) => Buffer.from(pack(value)),
  requestDeserialize: (bytes: Buffer): unknown => unpack(bytes),
  responseSerialize: (value: unknown) => Buffer.from(pack(value)),
  responseDeserialize: (bytes: Buffer): unknown => unpack(bytes),
});
const definition = { echo: method('/bench/echo'), blob: method('/bench/blob') };
const limits = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 };

type Call = (request: unknown, callback: (error: Error | null, response: unknown) => void) => void;

/** A grpc-js server and client with a Unix socket between them. */
export const contender: Contender = {
  host: async (spawn) => {
    const folder = await mkdtemp(join(tmpdir(), 'hamlet-bench-'));
    const address = `unix:${join(folder, 'grpc.sock')}`;
    const server = await spawn('server', address);
    const caller = await spawn('caller', address);
    return {
      caller,
      stop: async () => {
        await Promise.all([server.stop(), caller.stop()]);
        await rm(folder, { recursive: true, force: true });
      },
    };
  },
  serve: async (address) => {
    const server = new grpc.Server(limits);
    server.addService(definition, {
      echo: (call: grpc.ServerUnaryCall<Message, Message>, done: grpc.sendUnaryData<Message>) =>
        done(null, call.request),
      blob: (call: grpc.ServerUnaryCall<number, Uint8Array>, done: grpc.sendUnaryData<Uint8Array>) =>
        done(null, blobOf(call.request)),
    });
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(address as string, grpc.ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
  },
  call: async (address) => {
    const Client = grpc.makeGenericClientConstructor(definition, 'bench');
    const client = new Client(
      address as string,
      grpc.credentials.createInsecure(),
      limits,
    ) as unknown as Record<keyof typeof definition, Call>;
    const promised = (name: keyof typeof definition) => (request: unknown) =>
      new Promise<unknown>((resolve, reject) => {
        client[name](request, (error, response) => (error === null ? resolve(response) : reject(error)));
      });
    const echo = promised('echo');
    const blob = promised('blob');
    return {
      echo: (message) => echo(message) as Promise<Message>,
      blob: (bytes) => blob(bytes) as Promise<Uint8Array>,
    };
  },
};
