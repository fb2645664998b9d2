/** The server, for those who embed it: tests and the demo. */
export { type App, openApp } from './app.ts'
export { type Config, describe, loadConfig } from './config.ts'
