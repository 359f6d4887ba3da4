// The whole of the client.
#pragma once

#include <tidemark/aggregate.hpp>
#include <tidemark/command.hpp>
#include <tidemark/connection.hpp>
#include <tidemark/error.hpp>
#include <tidemark/event.hpp>
#include <tidemark/events.hpp>
#include <tidemark/operations.hpp>
#include <tidemark/pipeline.hpp>
#include <tidemark/pool.hpp>
#include <tidemark/projection.hpp>
#include <tidemark/projection_runner.hpp>
#include <tidemark/rows.hpp>
#include <tidemark/snapshot.hpp>
#include <tidemark/subscription.hpp>
#include <tidemark/subscription_runner.hpp>
#include <tidemark/transaction.hpp>
#include <tidemark/typed.hpp>
#include <tidemark/uuid.hpp>
