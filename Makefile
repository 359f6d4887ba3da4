# Builds, installs and tests the PostgreSQL extension with PGXS. `make help` lists the targets.

EXTENSION = extension/tidemark
DATA = $(wildcard extension/sql/tidemark--*.sql)
MODULE_big = tidemark
SOURCES := $(sort $(wildcard extension/src/*.cpp))
OBJS = $(SOURCES:.cpp=.o)

# Calls of the server that do not go through a table of jumps: after a wait for the disk an append runs with cold caches.
PG_CXXFLAGS = -std=c++20 -Wextra -Wshadow=local -fvisibility=hidden -fno-plt -MMD -MP $(if $(WERROR),-Werror)
SHLIB_LINK = -lstdc++

TEST_DIR = test/regress
REGRESS = $(basename $(notdir $(sort $(wildcard $(TEST_DIR)/sql/*.sql))))
ISOLATION = $(basename $(notdir $(sort $(wildcard $(TEST_DIR)/specs/*.spec))))
REGRESS_OPTS = --inputdir=$(TEST_DIR) --outputdir=$(TEST_DIR)
ISOLATION_OPTS = $(REGRESS_OPTS)
TAP_TESTS = 1
PROVE_TESTS = $(TEST_DIR)/t/*.pl

EXTRA_CLEAN = $(SOURCES:.cpp=.d) $(addprefix $(TEST_DIR)/,results output_iso regression.diffs regression.out tmp_check log)

# The bitcode step compiles C++ without our flags, and nothing here is worth inlining into queries.
override with_llvm := no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)

# PGXS would run PG_CONFIG's first target; ours is the build as well.
all:

include $(PGXS)

-include $(SOURCES:.cpp=.d)

# Not `check`, which PGXS has already, to say that it does not support it.
.PHONY: test quickstart lint format help
test: ## install what the tests need, build with warnings as errors, run every test
	scripts/check
quickstart: ## build, install, and run Tidemark on this machine's package history
	scripts/quickstart
lint: ## the static checks of scripts/check alone
	scripts/lint
format: ## format the C++ sources
	clang-format -i $$(find bench client extension/src test -name '*.cpp' -o -name '*.h' -o -name '*.hpp')
help: ## list the targets
	@echo 'all              build the extension (default)'
	@echo 'install          install it into the PostgreSQL that PG_CONFIG names'
	@echo 'installcheck     run the regress, isolation and TAP tests against a running server'
	@echo 'clean            remove what the build and the tests made'
	@sed -n 's/^\([a-z]*\): ## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 17
