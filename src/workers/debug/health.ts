import { nodeDebugService } from '../../gen/hamlet/debug/v1/debug.js';
import type { Client } from '../../ipc/contract.js';
import type { host } from '../../ipc/services/host.js';
import { isHamletError } from '../../lib/errors.js';
import { ProtoReader, ProtoWriter } from '../../lib/protobuf.js';
import { methodsOf, type Method } from './grpc.js';

/** HealthCheckResponse.ServingStatus of proto/grpc/health/v1/health.proto. */
const statuses = { unknown: 0, serving: 1, notServing: 2, serviceUnknown: 3 } as const;
type ServingStatus = (typeof statuses)[keyof typeof statuses];

interface HealthRequest {
  readonly service: string;
}

interface HealthResponse {
  readonly status: ServingStatus;
}

const messages = {
  requestStream: false,
  requestDeserialize(bytes: Uint8Array): HealthRequest {
    const reader = new ProtoReader(bytes);
    let service = '';
    while (reader.next()) {
      if (reader.tag === 10) service = reader.string();
      else reader.skip();
    }
    return { service };
  },
  responseSerialize({ status }: HealthResponse): Buffer {
    const writer = new ProtoWriter();
    if (status !== 0) writer.int64(1, status);
    return writer.finish();
  },
} as const;

const healthService = {
  check: { path: '/grpc.health.v1.Health/Check', responseStream: false, ...messages },
  watch: { path: '/grpc.health.v1.Health/Watch', responseStream: true, ...messages },
} as const;

/** Services that are there as long as somebody answers. */
const answering = ['', nodeDebugService.getCondition.path.split('/')[1] ?? ''];

/**
 * The standard health service (https://github.com/grpc/grpc/blob/master/doc/health-checking.md). The name of a
 * condition is a service too, which serves while the condition is true: probes of any kind understand that.
 */
export function healthMethods(client: Pick<Client<typeof host>, 'condition' | 'conditions'>): Method[] {
  return methodsOf(
    healthService,
    {
      async check({ service }, options) {
        if (answering.includes(service)) return { status: statuses.serving };
        const { status } = await client.condition({ name: service }, options);
        return { status: servingStatus(status) };
      },

      async *watch({ service }, { signal }) {
        const options = signal === undefined ? {} : { signal };
        let last: ServingStatus | undefined;
        if (answering.includes(service)) yield { status: statuses.serving };
        else if (!(await exists(client, service))) yield { status: statuses.serviceUnknown };
        // The stream stays open, as the standard has it; only what changes is sent.
        for await (const { conditions } of client.conditions({}, options)) {
          for (const { name, status } of conditions) {
            const next = servingStatus(status);
            if (name !== service || next === last) continue;
            last = next;
            yield { status: next };
          }
        }
      },
    },
    { check: 'read', watch: 'read' },
  );
}

async function exists(client: Pick<Client<typeof host>, 'condition'>, name: string): Promise<boolean> {
  try {
    await client.condition({ name });
    return true;
  } catch (error) {
    if (isHamletError(error, 'NOT_FOUND')) return false;
    throw error;
  }
}

function servingStatus(status: 'true' | 'false' | 'unknown'): ServingStatus {
  switch (status) {
    case 'true':
      return statuses.serving;
    case 'false':
      return statuses.notServing;
    case 'unknown':
      return statuses.unknown;
    default:
      return status satisfies never;
  }
}
