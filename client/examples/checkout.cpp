// An order is placed. Which products it takes is known only when it has been read; their stocks and prices are read
// while deciding. The stocks are written to; the prices are only relied on, and that is checked as well: here a price
// changes after it was read, and the command begins again with the new one.
//
//     ./checkout "dbname=shop"
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

#include <tidemark/tidemark.hpp>

using namespace tidemark;

struct ItemAdded {
    static constexpr std::string_view event_type = "ItemAdded";
    std::string product;
    long count;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ItemAdded, product, count)

struct OrderPlaced {
    static constexpr std::string_view event_type = "OrderPlaced";
    long total;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(OrderPlaced, total)

struct StockReceived {
    static constexpr std::string_view event_type = "StockReceived";
    long count;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(StockReceived, count)

struct StockTaken {
    static constexpr std::string_view event_type = "StockTaken";
    std::string order;
    long count;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(StockTaken, order, count)

struct PriceSet {
    static constexpr std::string_view event_type = "PriceSet";
    long price;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PriceSet, price)

struct Order {
    using Events = EventTypes<ItemAdded, OrderPlaced>;
    static constexpr std::string_view category = "order";
    std::map<std::string, long> items;
    long total = 0;
    bool is_placed = false;

    void apply(const ItemAdded& event) { items[event.product] += event.count; }
    void apply(const OrderPlaced& event) {
        total = event.total;
        is_placed = true;
    }
};

struct Stock {
    using Events = EventTypes<StockReceived, StockTaken>;
    static constexpr std::string_view category = "stock";
    long count = 0;

    void apply(const StockReceived& event) { count += event.count; }
    void apply(const StockTaken& event) { count -= event.count; }
};

struct Price {
    using Events = EventTypes<PriceSet>;
    static constexpr std::string_view category = "price";
    long now = 0;

    void apply(const PriceSet& event) { now = event.price; }
};

// The decision. It may be made several times, so it does nothing but read, and say what is to be appended.
void place(Command& command, const std::string& id) {
    const Order order = command.load<Order>(id);
    if (order.is_placed) throw std::domain_error("the order is placed already");
    long total = 0;
    for (const auto& [product, count] : order.items) {
        if (command.load<Stock>(product).count < count) throw std::domain_error("there are not enough");
        total += count * command.load<Price>(product).now;
        command.append(stream_of<Stock>(product), StockTaken{id, count});
    }
    command.append(stream_of<Order>(id), OrderPlaced{total});
    std::cout << "attempt " << command.attempt() << ": that makes " << total << "\n";
}

void require(bool holds, const char* what) {
    if (!holds) throw std::logic_error(std::string("broken: ") + what);
    std::cout << what << "\n";
}

int main(int count, char** arguments) try {
    const std::string conninfo = count > 1 ? arguments[1] : "";
    Connection shop(conninfo), office(conninfo);
    const std::string run = Uuid::make().to_string();  // each run has products of its own
    const std::string cup = "cup-" + run, pot = "pot-" + run, order = run + "-1", next_order = run + "-2";

    for (const std::string& product : {cup, pot})
        office.append_streams(std::vector<StreamWrite>{
            {.stream = stream_of<Stock>(product), .events = {encode(StockReceived{10})}},
            {.stream = stream_of<Price>(product), .events = {encode(PriceSet{product == cup ? 5 : 40})}}});
    shop.append(stream_of<Order>(order), {encode(ItemAdded{cup, 6}), encode(ItemAdded{pot, 1})});
    shop.append(stream_of<Order>(next_order), {encode(ItemAdded{cup, 5})});

    CommandExecutor executor(shop, {.on_conflict = [](const CommandOptions::Conflict& conflict) {
                                 for (const VersionConflict& changed : conflict.conflicts)
                                     std::cout << changed.stream.substr(0, 9) << "... has changed meanwhile\n";
                             }});
    executor.run({stream_of<Order>(order)}, [&](Command& command) {
        place(command, order);
        if (command.attempt() == 1) office.append(stream_of<Price>(pot), encode(PriceSet{45}));
    });
    const auto placed = Repository<Order>::load(shop, order);
    require(placed->is_placed && placed->total == 6 * 5 + 45, "the order has the price of the moment it was placed");
    require(executor.results().size() == 5, "two stocks and the order were written to, two prices checked");

    try {
        executor.run({stream_of<Order>(next_order)}, [&](Command& command) { place(command, next_order); });
        require(false, "more cups than there are cannot be had");
    } catch (const std::domain_error& refusal) {
        std::cout << "the next order is refused: " << refusal.what() << "\n";
    }
    require(Repository<Stock>::load(shop, cup)->count == 4 && Repository<Stock>::load(shop, pot)->count == 9,
            "the stock is what the orders have left of it");
} catch (const std::exception& problem) {
    std::cerr << problem.what() << "\n";
    return 1;
}
