// Aggregates: the state that the events of one stream add up to. A state is a struct like this:
//
//     struct Account {
//         using Events = tidemark::EventTypes<Opened, Deposited, Withdrawn>;
//         static constexpr std::string_view category = "account";
//         long balance = 0;
//         void apply(const Opened&) {}
//         void apply(const Deposited& event) { balance += event.amount; }
//         void apply(const Withdrawn& event) { balance -= event.amount; }
//     };
//
// One that has nlohmann_json's to_json and from_json as well, and a snapshot_version, is loaded from a snapshot and the
// events behind it, and saves one whenever its stream's version has come to a multiple of snapshot_every, or past it:
//
//         static constexpr int snapshot_version = 1;  // another one for each change of what the JSON is or means
//         static constexpr std::int64_t snapshot_every = 100;  // the default; 0: none by itself
//
// Snapshots of another version than that of the state are left alone, and the stream is read from its first event.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <tidemark/connection.hpp>
#include <tidemark/operations.hpp>
#include <tidemark/transaction.hpp>
#include <tidemark/typed.hpp>

namespace tidemark {

template <typename State>
concept AggregateState = std::copyable<State> && std::default_initializable<State> && requires {
    { State::category } -> std::convertible_to<std::string_view>;
    typename State::Events::Variant;
};

// A state that snapshots are made of.
template <typename State>
concept SnapshotState = AggregateState<State> && requires {
    { State::snapshot_version } -> std::convertible_to<int>;
};

template <typename T>
concept ConvertibleToJson = requires(const T& value, json& data) {
    data = value;
    data.template get<T>();
};

// The JSON of a state. Throws usage_error where its to_json throws.
template <SnapshotState State>
json to_snapshot(const State& state) {
    try {
        return json(state);
    } catch (const json::exception& problem) {
        throw usage_error("a state of category " + std::string(State::category) +
                          " is not to be written: " + problem.what());
    }
}

// How far apart the snapshots are that are saved by themselves.
template <SnapshotState State>
constexpr std::int64_t snapshot_every() {
    if constexpr (requires { State::snapshot_every; })
        return State::snapshot_every;
    else
        return 100;
}

// Whether a stream that has come from one version to another is to have one.
template <SnapshotState State>
constexpr bool is_snapshot_due(std::int64_t before, std::int64_t after) {
    constexpr std::int64_t every = snapshot_every<State>();
    if constexpr (every > 0)
        return before / every < after / every;
    else
        return false;
}

// The stream of the aggregate of that id: the category, a hyphen, the id.
template <AggregateState State>
std::string stream_of(std::string_view id) {
    return std::string(State::category) + "-" + std::string(id);
}

// Adds an event to the state.
template <AggregateState State>
void fold(State& state, const Event& event) {
    std::visit([&](const auto& typed) { state.apply(typed); }, State::Events::decode(event));
}
// The same of one that is being appended.
template <AggregateState State>
void fold(State& state, const NewEvent& event) {
    fold(state, Event{.position = 0,
                      .version = 0,
                      .recorded_at = {},
                      .id = event.id,
                      .schema_version = event.schema_version,
                      .stream = {},
                      .category = {},
                      .type = event.type,
                      .data_text = event.data.dump(),
                      .metadata_text = {}});
}

// An aggregate at work: its state, with the events recorded since it was loaded. What was recorded is not in the log
// before it is saved, and its version moves only when that is committed.
template <AggregateState State>
class Aggregate {
  public:
    explicit Aggregate(std::string stream) : stream_(std::move(stream)), progress_(std::make_shared<Progress>()) {}
    // A copy goes its own way, also where a transaction that saves the original is open.
    Aggregate(const Aggregate& other)
        : stream_(other.stream_), state_(other.state_), progress_(std::make_shared<Progress>(*other.progress_)) {}
    Aggregate(Aggregate&&) noexcept = default;
    Aggregate& operator=(Aggregate other) noexcept {
        std::swap(stream_, other.stream_);
        std::swap(state_, other.state_);
        std::swap(progress_, other.progress_);
        return *this;
    }

    const std::string& stream() const { return stream_; }
    // Of the stream, as far as it is loaded or saved and committed; 0: it has no events.
    std::int64_t version() const { return progress_->version; }
    bool exists() const { return version() > 0; }
    // Of the log and of what was recorded.
    const State& state() const { return state_; }
    const State* operator->() const { return &state_; }
    // What is not committed yet.
    const std::vector<NewEvent>& recorded() const { return progress_->recorded; }

    // Records that something happened, and applies it to the state.
    template <TypedEvent T>
    void record(const T& event, json metadata = json::object()) {
        NewEvent encoded = encode(event, std::move(metadata));
        state_.apply(event);
        progress_->recorded.push_back(std::move(encoded));
    }

    // Adds the next event of the log.
    void load(const Event& event) {
        fold(state_, event);
        progress_->version = progress_->saved_version = event.version;
    }

  private:
    template <AggregateState>
    friend class Repository;

    // Goes on from a snapshot, as if its events had been loaded. False where its JSON is no state.
    bool restore(const Snapshot& snapshot) {
        try {
            state_ = snapshot.state().template get<State>();
        } catch (const std::exception&) {
            return false;
        }
        progress_->version = progress_->saved_version = snapshot.version;
        return true;
    }

    // How far the aggregate is in the log. Shared with the transactions that save it, which may end after it.
    struct Progress {
        std::int64_t version = 0;  // committed
        std::vector<NewEvent> recorded;
        // Of an open transaction: how many of those recorded it has saved, and up to which version.
        std::size_t saved = 0;
        std::int64_t saved_version = 0;

        void end(bool committed) {
            if (committed) {
                recorded.erase(recorded.begin(), recorded.begin() + static_cast<std::ptrdiff_t>(saved));
                version = saved_version;
            }
            saved = 0;
            saved_version = version;
        }
    };

    std::string stream_;
    State state_{};
    std::shared_ptr<Progress> progress_;
};

// Loads and saves aggregates, on a connection or in a transaction.
template <AggregateState State>
class Repository {
    static_assert(!SnapshotState<State> || ConvertibleToJson<State>,
                  "a state with a snapshot_version needs to_json and from_json");

  public:
    // A new one; saving it demands that it has no events yet.
    static Aggregate<State> create(std::string_view id) { return Aggregate<State>(stream_of<State>(id)); }

    // The aggregate as its stream says; new where there is none. Where a snapshot is no state, all events are read.
    static Aggregate<State> load(Operations& log, std::string_view id) {
        Aggregate<State> aggregate = create(id);
        if constexpr (SnapshotState<State>) {
            const LoadedStream loaded = log.load_stream(aggregate.stream(), State::snapshot_version);
            if (!loaded.snapshot || aggregate.restore(*loaded.snapshot)) {
                for (const Event& event : loaded.events) aggregate.load(event);
                return aggregate;
            }
        }
        for (const Event& event : log.read_stream(aggregate.stream())) aggregate.load(event);
        return aggregate;
    }

    // Locks the stream first, so that saving in the same transaction cannot fail by a conflict.
    static Aggregate<State> load_for_update(Transaction& transaction, std::string_view id) {
        transaction.lock_stream(stream_of<State>(id));
        return load(transaction, id);
    }

    // Appends what was recorded and is not saved yet, if the stream is as it was loaded; else throws
    // wrong_expected_version, and the aggregate stays as it is. So it does where the transaction is not committed.
    // Where a snapshot is due, it is saved next, in a transaction as a part of that; by try_save_snapshot(), so that
    // whatever it fails by, the events are appended.
    static void save(Connection& connection, Aggregate<State>& aggregate) {
        const std::int64_t before = aggregate.progress_->saved_version;
        if (!append(connection, aggregate)) return;
        aggregate.progress_->end(true);
        save_snapshot_if_due(connection, aggregate, before);
    }
    static void save(Transaction& transaction, Aggregate<State>& aggregate) {
        const std::int64_t before = aggregate.progress_->saved_version;
        if (!append(transaction, aggregate)) return;
        transaction.on_end([progress = aggregate.progress_](bool committed) { progress->end(committed); });
        save_snapshot_if_due(transaction, aggregate, before);
    }

    // Saves a snapshot of an aggregate in which nothing is recorded that is not saved; see Operations::save_snapshot().
    static bool save_snapshot(Operations& log, const Aggregate<State>& aggregate) requires SnapshotState<State> {
        const auto& progress = *aggregate.progress_;
        if (progress.saved != progress.recorded.size())
            throw usage_error("a snapshot of an aggregate with events that are not saved");
        return log.save_snapshot(aggregate.stream(), progress.saved_version, to_snapshot(aggregate.state_),
                                 State::snapshot_version);
    }

  private:
    static void save_snapshot_if_due(Operations& log, const Aggregate<State>& aggregate, std::int64_t before) {
        if constexpr (SnapshotState<State>) {
            const std::int64_t version = aggregate.progress_->saved_version;
            if (is_snapshot_due<State>(before, version))
                log.try_save_snapshot(
                    aggregate.stream(), version, [&] { return to_snapshot(aggregate.state_); },
                    State::snapshot_version);
        }
    }

    static bool append(Operations& log, const Aggregate<State>& aggregate) {
        auto& progress = *aggregate.progress_;
        const auto unsaved = std::span(progress.recorded).subspan(progress.saved);
        if (unsaved.empty()) return false;
        progress.saved_version =
            log.append(aggregate.stream(), unsaved, progress.saved_version, State::category).version;
        progress.saved = progress.recorded.size();
        return true;
    }
};

}  // namespace tidemark
