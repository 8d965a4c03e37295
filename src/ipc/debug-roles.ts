/** The organization by which a client's certificate says what it may do: certs issues it, the debug worker reads it. */
export const roleGroups = { read: 'hamlet:debug-read', admin: 'hamlet:debug-admin' } as const;
