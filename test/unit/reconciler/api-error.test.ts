import t from 'tap';
import { apiError } from '../../../src/workers/reconciler/api-error.js';

void t.test('a refusal keeps the words and the reason of the API server', (t) => {
  const error = apiError('GET /x', { code: 403, reason: 'Forbidden', message: 'not you' });
  t.equal(error.code, 'PERMISSION_DENIED');
  t.equal(error.message, 'GET /x: not you');
  t.same(error.details, { httpStatus: 403, reason: 'Forbidden' });
  t.end();
});

void t.test('each status has its code', (t) => {
  const codes: readonly (readonly [number, string, string])[] = [
    [400, '', 'INVALID_ARGUMENT'],
    [401, 'Unauthorized', 'UNAUTHENTICATED'],
    [404, 'NotFound', 'NOT_FOUND'],
    [409, 'AlreadyExists', 'ALREADY_EXISTS'],
    [409, 'Conflict', 'ABORTED'],
    [410, 'Expired', 'OUT_OF_RANGE'],
    [418, '', 'UNKNOWN'],
    [422, 'Invalid', 'INVALID_ARGUMENT'],
    [429, 'TooManyRequests', 'RESOURCE_EXHAUSTED'],
    [500, 'InternalError', 'UNAVAILABLE'],
    [503, 'ServiceUnavailable', 'UNAVAILABLE'],
    [504, 'Timeout', 'DEADLINE_EXCEEDED'],
  ];
  for (const [code, reason, expected] of codes)
    t.equal(apiError('x', { code, reason }).code, expected, `${code}`);
  t.end();
});

void t.test('an answer that says nothing is an error all the same', (t) => {
  t.equal(apiError('x', {}).code, 'UNAVAILABLE');
  t.end();
});
