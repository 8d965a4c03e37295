import { protoFiles, type ProtoFile } from '../../gen/descriptors.js';
import { HamletError } from '../../lib/errors.js';
import { ProtoReader, ProtoWriter } from '../../lib/protobuf.js';
import { methodsOf, type Method } from './grpc.js';

/** Nobody has to ask so often about four files; whoever does begins a new stream, which is counted. */
const maxRequests = 1_000;

/** What a client wants to know: ServerReflectionRequest of proto/grpc/reflection/v1/reflection.proto. */
type Question =
  | { readonly kind: 'file' | 'symbol' | 'services'; readonly text: string }
  | { readonly kind: 'extensions' | 'nothing' };

interface ReflectionRequest {
  readonly bytes: Uint8Array;
  readonly question: Question;
}

/** Field numbers of the oneof `message_response`, and what an answer has in it. */
interface ReflectionResponse {
  readonly request: ReflectionRequest;
  readonly field: 4 | 6 | 7;
  readonly body: Buffer;
}

const messages = {
  requestStream: true,
  responseStream: true,
  requestDeserialize: (bytes: Uint8Array): ReflectionRequest => ({ bytes, question: parseQuestion(bytes) }),
  responseSerialize({ request, field, body }: ReflectionResponse): Buffer {
    const writer = new ProtoWriter();
    writer.bytes(2, request.bytes);
    writer.bytes(field, body);
    return writer.finish();
  },
} as const;

const reflectionService = {
  v1: { path: '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', ...messages },
  v1alpha: { path: '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo', ...messages },
} as const;

/**
 * The standard reflection service (https://github.com/grpc/grpc/blob/master/doc/server-reflection.md), by which clients
 * learn of the others without having their .proto files.
 */
export function reflectionMethods(): Method[] {
  const answerAll = async function* (requests: AsyncIterable<ReflectionRequest>) {
    let count = 0;
    for await (const request of requests) {
      if (++count > maxRequests) {
        throw new HamletError('RESOURCE_EXHAUSTED', `one stream takes ${maxRequests} requests`);
      }
      yield answer(request);
    }
  };
  return methodsOf(reflectionService, { v1: answerAll, v1alpha: answerAll }, { v1: 'read', v1alpha: 'read' });
}

function parseQuestion(bytes: Uint8Array): Question {
  const reader = new ProtoReader(bytes);
  let question: Question = { kind: 'nothing' };
  while (reader.next()) {
    switch (reader.tag >> 3) {
      case 3:
        question = { kind: 'file', text: reader.string() };
        break;
      case 4:
        question = { kind: 'symbol', text: reader.string() };
        break;
      case 5:
      case 6:
        reader.skip();
        question = { kind: 'extensions' };
        break;
      case 7:
        question = { kind: 'services', text: reader.string() };
        break;
      default:
        reader.skip();
    }
  }
  return question;
}

function answer(request: ReflectionRequest): ReflectionResponse {
  const { question } = request;
  switch (question.kind) {
    case 'services': {
      const names = protoFiles.flatMap(({ services }) => services);
      return { request, field: 6, body: repeated(names.map((name) => repeated([name]))) };
    }
    case 'file':
      return fileResponse(
        request,
        protoFiles.find(({ file }) => file === question.text),
        question.text,
      );
    case 'symbol':
      return fileResponse(
        request,
        protoFiles.find(({ symbols }) => symbols.some((name) => defines(name, question.text))),
        question.text,
      );
    case 'extensions':
      return errorResponse(request, 5, 'proto3 has no extensions');
    case 'nothing':
      return errorResponse(request, 3, 'the request asks for nothing');
    default:
      return question satisfies never;
  }
}

/** A message's field, an enum's value and a service's method are defined where the whole is. */
function defines(symbol: string, wanted: string): boolean {
  return wanted === symbol || wanted.startsWith(`${symbol}.`);
}

function fileResponse(
  request: ReflectionRequest,
  file: ProtoFile | undefined,
  wanted: string,
): ReflectionResponse {
  if (file === undefined) return errorResponse(request, 5, `there is no ${wanted}`);
  return { request, field: 4, body: repeated([Buffer.from(file.base64, 'base64')]) };
}

/** `code` is one of gRPC's status codes: 3 is INVALID_ARGUMENT, 5 NOT_FOUND. */
function errorResponse(request: ReflectionRequest, code: 3 | 5, message: string): ReflectionResponse {
  const writer = new ProtoWriter();
  writer.int64(1, code);
  writer.string(2, message);
  return { request, field: 7, body: writer.finish() };
}

/** A message whose only field, the first one, has these values. */
function repeated(values: readonly (string | Uint8Array)[]): Buffer {
  const writer = new ProtoWriter();
  for (const value of values) {
    if (typeof value === 'string') writer.string(1, value);
    else writer.bytes(1, value);
  }
  return writer.finish();
}
