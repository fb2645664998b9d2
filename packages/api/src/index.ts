/** The HTTP API of Writ as data: endpoints, shapes, error table, audit vocabulary. */
export * from './audit.ts'
export * from './endpoint.ts'
export * from './endpoints.ts'
export * from './errors.ts'
export * from './events.ts'
export * from './openapi.ts'
export * from './pages.ts'
export * from './shapes.ts'
