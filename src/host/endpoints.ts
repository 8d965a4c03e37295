import { HamletError } from '../lib/errors.js';
import { ROUTER_SLOT } from '../ipc/frame.js';
import { PROTOCOL_VERSION, type Welcome } from '../ipc/handshake.js';

/** An address has eight bits for the slot. */
const MAX_SLOTS = 256;

/** Who is on the mesh, what it serves and what it may call. */
export interface Endpoint {
  readonly name: string;
  readonly serves?: readonly { readonly name: string }[];
  readonly calls?: readonly { readonly name: string }[];
}

/** An endpoint's place on the mesh, the same for as long as the router lives. */
export interface Place {
  readonly name: string;
  readonly slot: number;
  /** What it is told in the handshake; its address depends on the connection. */
  readonly welcome: Omit<Welcome, 'address'>;
  /** By slot: whether it calls a service there. */
  readonly mayCall: readonly boolean[];
  /** By slot: whether frames that are no requests may go there: one of the two calls the other. */
  readonly mayReach: readonly boolean[];
}

/**
 * Gives each endpoint a slot, and works out who may call whom.
 * Throws INVALID_ARGUMENT if two endpoints have one name or serve one service, or nobody serves what one calls.
 */
export function planPlaces(endpoints: readonly Endpoint[]): Place[] {
  if (endpoints.length >= MAX_SLOTS) throw new HamletError('INVALID_ARGUMENT', 'too many endpoints');
  const names = ['router', ...endpoints.map(({ name }) => name)];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new HamletError('INVALID_ARGUMENT', `two endpoints are called ${twice}`);

  const slots = slotsOfServices(endpoints);
  const routes = new Map(endpoints.map((endpoint, index) => [index + 1, routesOf(endpoint, slots)]));
  const calls = (from: number, to: number) => Object.values(routes.get(from) ?? {}).includes(to);
  const callersOf = (service: string) => [...routes].filter(([, to]) => service in to).map(([slot]) => slot);

  return endpoints.map(({ name, serves = [] }, index) => {
    const slot = ROUTER_SLOT + 1 + index;
    return {
      name,
      slot,
      welcome: {
        version: PROTOCOL_VERSION,
        names,
        routes: routes.get(slot) ?? {},
        callers: Object.fromEntries(serves.map((service) => [service.name, callersOf(service.name)])),
      },
      mayCall: names.map((_, other) => calls(slot, other)),
      mayReach: names.map((_, other) => calls(slot, other) || calls(other, slot)),
    };
  });
}

function slotsOfServices(endpoints: readonly Endpoint[]): Map<string, number> {
  const slots = new Map<string, number>();
  for (const [index, { serves = [] }] of endpoints.entries()) {
    for (const { name } of serves) {
      if (slots.has(name)) throw new HamletError('INVALID_ARGUMENT', `two endpoints serve ${name}`);
      slots.set(name, index + 1);
    }
  }
  return slots;
}

function routesOf(
  { name, calls = [] }: Endpoint,
  slots: ReadonlyMap<string, number>,
): Record<string, number> {
  const routes: Record<string, number> = {};
  for (const service of calls) {
    const slot = slots.get(service.name);
    if (slot === undefined) {
      throw new HamletError('INVALID_ARGUMENT', `${name} calls ${service.name}, which nobody serves`);
    }
    routes[service.name] = slot;
  }
  return routes;
}
