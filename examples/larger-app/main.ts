import { buildApp } from './app.js'

const { PORT: port = '5050', OAUTH_ISSUER_URL: issuer = 'http://localhost:5051' } = process.env
const app = await buildApp({ publicUrl: `http://localhost:${port}`, issuer })
await app.listen({ port: Number(port) })
