import type { BaseIssue, BaseSchema, InferOutput } from 'valibot';

/** Any valibot schema whose output is its input: what crosses the mesh is not transformed on the way. */
export type Schema<T = unknown> = BaseSchema<unknown, T, BaseIssue<unknown>>;

export interface MethodOptions {
  /** How long a caller waits when it does not say otherwise, in milliseconds. */
  readonly deadlineMs?: number;
  /** Whether the client may send the request again after the worker died under it. */
  readonly idempotent?: boolean;
  /**
   * How much a stream has on its way at most, where less than the mesh's window is to be held for one that does not
   * read, in bytes; no less than a quarter of the window, which is what its reader waits for before it gives credit.
   */
  readonly windowBytes?: number;
}

/** One request, one response. */
export interface Unary<Request extends Schema, Response extends Schema> extends MethodOptions {
  readonly kind: 'unary';
  readonly request: Request;
  readonly response: Response;
}

/** One request, any number of items. A stream has no deadline unless the caller sets one. */
export interface Stream<Request extends Schema, Item extends Schema> extends MethodOptions {
  readonly kind: 'stream';
  readonly request: Request;
  readonly item: Item;
}

export type Method = Unary<Schema, Schema> | Stream<Schema, Schema>;
export type Methods = Readonly<Record<string, Method>>;

/** A service: its name on the mesh and its methods. Declared once, checked at both ends. */
export interface Service<M extends Methods = Methods> {
  readonly name: string;
  readonly methods: M;
}

/** What a handler is told beside the request. */
export interface CallContext {
  /** Aborted when the caller cancels, its deadline passes, or it dies. */
  readonly signal: AbortSignal;
  /** The worker that calls, as stamped by the router. */
  readonly source: string;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Overrides the contract's deadline, in milliseconds. */
  readonly deadlineMs?: number;
}

export type RequestOf<M extends Method> = InferOutput<M['request']>;
export type ResponseOf<M extends Method> =
  M extends Unary<Schema, infer R>
    ? InferOutput<R>
    : M extends Stream<Schema, infer I>
      ? InferOutput<I>
      : never;

export type Handler<M extends Method> = M['kind'] extends 'unary'
  ? (request: RequestOf<M>, context: CallContext) => ResponseOf<M> | Promise<ResponseOf<M>>
  : (request: RequestOf<M>, context: CallContext) => AsyncIterable<ResponseOf<M>>;

/** The server's side of a service: one handler for each method. */
export type Handlers<S extends Service> = { readonly [K in keyof S['methods']]: Handler<S['methods'][K]> };

export type Caller<M extends Method> = M['kind'] extends 'unary'
  ? (request: RequestOf<M>, options?: CallOptions) => Promise<ResponseOf<M>>
  : (request: RequestOf<M>, options?: CallOptions) => AsyncIterable<ResponseOf<M>>;

/** The caller's side of a service. */
export type Client<S extends Service> = { readonly [K in keyof S['methods']]: Caller<S['methods'][K]> };

/** Declares a method of one request and one response. */
export function unary<Request extends Schema, Response extends Schema>(
  request: Request,
  response: Response,
  options: MethodOptions = {},
): Unary<Request, Response> {
  return { kind: 'unary', request, response, ...options };
}

/** Declares a method of one request and a stream of items. */
export function stream<Request extends Schema, Item extends Schema>(
  request: Request,
  item: Item,
  options: MethodOptions = {},
): Stream<Request, Item> {
  return { kind: 'stream', request, item, ...options };
}

/** Declares a service. Use strictObject for requests, so that an unknown field is refused. */
export function service<const M extends Methods>(name: string, methods: M): Service<M> {
  return { name, methods };
}
