import { buildApp } from './app.js'

const app = await buildApp({ publicUrl: 'http://localhost:5050', issuer: process.env.OAUTH_ISSUER_URL ?? 'http://localhost:5051' })
await app.listen({ port: 5050 })
