// The background workers, which run the async projections of the databases that the configuration names.
#pragma once

namespace tidemark {

// To be called while the library is preloaded.
void register_workers();

}  // namespace tidemark
