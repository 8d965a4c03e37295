import type { Connection } from './connection.js';
import type { Handlers, Service } from './contract.js';
import type { Registered } from './incoming.js';

/** A service and its handlers, checked against each other, to be served on a connection. */
export interface Implementation {
  readonly service: string;
  readonly methods: ReadonlyMap<string, Registered>;
}

/** Binds handlers to the contract that they fulfil. A worker gives the result to runWorker(). */
export function implement<S extends Service>(contract: S, handlers: Handlers<S>): Implementation {
  const methods = new Map<string, Registered>();
  const own = handlers as Readonly<Record<string, Registered['handler']>>;
  for (const [name, method] of Object.entries(contract.methods)) {
    const handler = own[name];
    if (handler === undefined) throw new TypeError(`${contract.name}.${name} has no handler`);
    methods.set(`${contract.name}.${name}`, {
      service: contract.name,
      method,
      handler: (request, context) => handler.call(handlers, request, context),
    });
  }
  return { service: contract.name, methods };
}

/**
 * Serves a service on a connection from now on. Until then its callers get UNAVAILABLE.
 * Throws FAILED_PRECONDITION if the endpoint's declaration does not serve it, or it is served already.
 */
export function serve<S extends Service>(connection: Connection, contract: S, handlers: Handlers<S>): void {
  serveAll(connection, [implement(contract, handlers)]);
}

/** Serves what implement() has made. */
export function serveAll(connection: Connection, implementations: readonly Implementation[]): void {
  for (const { service, methods } of implementations) connection.incoming.register(service, methods);
}
